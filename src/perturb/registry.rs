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

/// The flags of all weight perturbations.
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

/// What the flags come to once the model and the perturbation are known: every value named and in its range.
#[derive(Clone, Debug)]
pub struct Resolved {
    rho: f64,
    beta: f64,
    eta: f64,
    restriction: Restriction,
    /// Perturb every k-th step.
    pub perturb_every: u64,
}

impl Options {
    /// The values for the perturbation called `name`, or for none.
    ///
    /// # Errors
    /// A value that makes no sense, whichever perturbation is asked for.
    pub fn resolve(self, context: &BuildContext, name: Option<&str>) -> Result<Resolved, InvalidOption> {
        let rho = self.rho.unwrap_or(if name == Some("asam") { 0.5 } else { 0.05 });
        let beta = self.beta.unwrap_or(context.architecture.description().defaults.beta);
        positive("--perturb-every", self.perturb_every as f64)?;
        Ok(Resolved {
            rho: at_least_zero("--rho", rho)?,
            beta: at_least_zero("--beta", beta)?,
            eta: at_least_zero("--asam-eta", self.asam_eta)?,
            restriction: self.restrict_perturbation,
            perturb_every: self.perturb_every,
        })
    }
}

impl Resolved {
    /// The flags that give these values for any model.
    pub fn options(&self) -> Options {
        Options {
            rho: Some(self.rho),
            beta: Some(self.beta),
            asam_eta: self.eta,
            restrict_perturbation: self.restriction,
            perturb_every: self.perturb_every,
        }
    }

    /// The perturbation called `name`; `None` if there is none of this name.
    pub fn build(&self, name: &str) -> Option<Box<dyn WeightPerturbation>> {
        PERTURBATIONS.iter().find(|p| p.name == name).map(|p| (p.build)(self))
    }
}

/// One line of the registry.
pub struct Perturbation {
    /// As `--reg` calls it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    build: fn(&Resolved) -> Box<dyn WeightPerturbation>,
}

/// All, in the order in which messages list them.
pub const PERTURBATIONS: &[Perturbation] = &[
    Perturbation {
        name: "sam",
        about: "sharpness-aware minimization",
        build: |r| Box::new(Sam { rho: r.rho, restriction: r.restriction }),
    },
    Perturbation {
        name: "asam",
        about: "scale-adaptive SAM",
        build: |r| Box::new(Asam { rho: r.rho, eta: r.eta, restriction: r.restriction }),
    },
    Perturbation {
        name: "delta-sam",
        about: "SAM weighing each instance by how unguarded it is",
        build: |r| Box::new(DeltaSam { rho: r.rho, beta: r.beta, restriction: r.restriction }),
    },
    Perturbation {
        name: "sam-instance",
        about: "exact per-instance SAM, for small batches",
        build: |r| Box::new(PerInstance { rho: r.rho, restriction: r.restriction }),
    },
];
