//! The weight perturbations that `--reg` knows, one line each, and their flags.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::asam::Asam;
use super::delta_sam::DeltaSam;
use super::per_instance::PerInstance;
use super::sam::Sam;
use super::{Restriction, WeightPerturbation};
use crate::objective::registry::{BuildContext, InvalidOption, at_least_zero, positive};

const HEADING: &str = "Weight perturbations (--reg sam, asam, delta-sam, sam-instance)";

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Options {
    /// Radius ρ of the perturbation [default: 0.05, our choice as the paper tunes it; asam 0.5, ASAM's own]
    #[arg(long, value_name = "ρ", help_heading = HEADING)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rho: Option<f64>,
    /// δ-SAM's β: how far instance weights depart from uniform [default: 5 for RoBERTa and its kin, the paper's, and MPNet; 3 for BERT and DistilBERT, our choice]
    #[arg(long, value_name = "β", help_heading = HEADING)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// ASAM's η, which lets parameters leave 0 (ASAM's value)
    #[arg(long, default_value_t = 0.01, value_name = "η", help_heading = HEADING)]
    pub asam_eta: f64,
    /// Parameters that a perturbation may move
    #[arg(long, value_enum, default_value_t = Restriction::All, value_name = "WHICH", help_heading = HEADING)]
    pub restrict_perturbation: Restriction,
    /// Perturb every k-th step only; the steps between are plain
    #[arg(long, default_value_t = 1, value_name = "K", help_heading = HEADING)]
    pub perturb_every: u64,
}

impl Options {
    /// Fills in the defaults that depend on the model and on what was asked for.
    pub fn resolve(&mut self, context: &BuildContext, name: &str) {
        self.rho.get_or_insert(if name == "asam" { 0.5 } else { 0.05 });
        self.beta.get_or_insert(context.architecture.description().defaults.beta);
    }

    fn rho(&self) -> Result<f64, InvalidOption> {
        at_least_zero("--rho", self.rho.unwrap_or(0.05))
    }

    /// Refuses values that make no sense, whichever perturbation is asked for.
    pub fn check(&self) -> Result<(), InvalidOption> {
        self.rho()?;
        at_least_zero("--beta", self.beta.unwrap_or(3.0))?;
        at_least_zero("--asam-eta", self.asam_eta)?;
        positive("--perturb-every", self.perturb_every as f64)?;
        Ok(())
    }

    /// The perturbation called `name`; `None` for a name that is none.
    pub fn build(&self, name: &str) -> Option<Result<Box<dyn WeightPerturbation>, InvalidOption>> {
        let build = PERTURBATIONS.iter().find(|p| p.name == name)?.build;
        Some(self.check().and_then(|()| build(self)))
    }
}

/// One line of the registry.
pub struct Perturbation {
    pub name: &'static str,
    pub about: &'static str,
    build: fn(&Options) -> Result<Box<dyn WeightPerturbation>, InvalidOption>,
}

pub const PERTURBATIONS: &[Perturbation] = &[
    Perturbation {
        name: "sam",
        about: "sharpness-aware minimization",
        build: |o| Ok(Box::new(Sam { rho: o.rho()?, restriction: o.restrict_perturbation })),
    },
    Perturbation {
        name: "asam",
        about: "scale-adaptive SAM",
        build: |o| {
            Ok(Box::new(Asam { rho: o.rho()?, eta: o.asam_eta, restriction: o.restrict_perturbation }))
        },
    },
    Perturbation {
        name: "delta-sam",
        about: "SAM weighing each instance by how unguarded it is",
        build: |o| {
            let beta = at_least_zero("--beta", o.beta.unwrap_or(3.0))?;
            Ok(Box::new(DeltaSam { rho: o.rho()?, beta, restriction: o.restrict_perturbation }))
        },
    },
    Perturbation {
        name: "sam-instance",
        about: "exact per-instance SAM, for small batches",
        build: |o| Ok(Box::new(PerInstance { rho: o.rho()?, restriction: o.restrict_perturbation })),
    },
];
