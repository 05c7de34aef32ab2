//! `--reg`: a comma-separated composition of loss terms and at most one weight perturbation.

use clap::Args;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::Architecture;
use crate::objective::Loss;
use crate::objective::registry::{self as terms, BuildContext, InvalidOption, LOSS_TERMS};
use crate::perturb::WeightPerturbation;
use crate::perturb::plain::Plain;
use crate::perturb::registry::{self as perturbations, PERTURBATIONS};
use crate::quote::quoted;
use crate::suggest::meant;

/// What regularizes training, and every regularizer's own settings.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Options {
    /// Regularizers, comma-separated: any loss terms (r3f, r-drop, freelb, smart) and at most one
    /// weight perturbation (sam, asam, delta-sam, sam-instance); none for plain training
    #[arg(long, default_value = "none", value_name = "LIST", help_heading = "Regularizers")]
    pub reg: String,
    /// ρ and what else decides where the gradient is taken.
    #[command(flatten)]
    #[serde(flatten)]
    pub perturbation: perturbations::Options,
    /// Weights and sizes of the loss terms.
    #[command(flatten)]
    #[serde(flatten)]
    pub terms: terms::Options,
}

#[derive(Debug, Error, PartialEq)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum InvalidRegularization {
    #[error("--reg does not know {}{}; it knows none, {}", quoted(name), suggestion(name), known_names())]
    Unknown { name: String },
    #[error(
        "--reg asks for {first} and {second}; at most one of {} can perturb the weights",
        perturbation_names()
    )]
    TwoPerturbations { first: &'static str, second: &'static str },
    #[error("--reg names {name} twice; once is enough")]
    Twice { name: String },
    #[error("--reg names none beside others; leave it out")]
    NoneAmongOthers,
    #[error(transparent)]
    Option(#[from] InvalidOption),
}

fn perturbation_names() -> String {
    PERTURBATIONS.iter().map(|p| p.name).collect::<Vec<_>>().join(", ")
}

/// Every name that `--reg` knows besides none, perturbations first.
pub fn names() -> impl Iterator<Item = &'static str> {
    PERTURBATIONS.iter().map(|p| p.name).chain(LOSS_TERMS.iter().map(|&(name, _)| name))
}

fn known_names() -> String {
    names().collect::<Vec<_>>().join(", ")
}

/// What was probably meant: a name in another spelling, or several with something else than commas between them.
fn suggestion(name: &str) -> String {
    let known = || {
        PERTURBATIONS.iter().map(|p| p.name).chain(LOSS_TERMS.iter().map(|&(name, _)| name)).chain(["none"])
    };
    if name.is_empty() {
        return " (one comma too many?)".to_owned();
    }
    let parts: Vec<&str> =
        name.split(|c: char| "+;/&| ".contains(c)).filter(|part| !part.is_empty()).collect();
    let whole = meant(name, known()).map(str::to_owned);
    let all = || parts.iter().map(|part| meant(part, known())).collect::<Option<Vec<_>>>();
    let likely = if parts.len() > 1 { all().map(|names| names.join(",")).or(whole) } else { whole };
    likely.map_or_else(String::new, |likely| format!(" (did you mean {likely}?)"))
}

/// A parsed composition, in the registry's order whatever the order on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composition {
    /// At most one.
    pub perturbation: Option<&'static str>,
    /// Any number of loss terms.
    pub terms: Vec<&'static str>,
}

impl Composition {
    /// Reads a comma-separated list of names.
    ///
    /// # Errors
    /// A name is unknown or given twice, or there are two weight perturbations.
    pub fn parse(list: &str) -> Result<Self, InvalidRegularization> {
        let names: Vec<&str> = list.split(',').map(str::trim).collect();
        for (i, name) in names.iter().enumerate() {
            let known =
                LOSS_TERMS.iter().any(|(n, _)| n == name) || PERTURBATIONS.iter().any(|p| p.name == *name);
            if !known && *name != "none" {
                return Err(InvalidRegularization::Unknown { name: (*name).into() });
            }
            if names[..i].contains(name) {
                return Err(InvalidRegularization::Twice { name: (*name).into() });
            }
        }
        if names.len() > 1 && names.contains(&"none") {
            return Err(InvalidRegularization::NoneAmongOthers);
        }
        let mut chosen = PERTURBATIONS.iter().map(|p| p.name).filter(|name| names.contains(name));
        let perturbation = chosen.next();
        if let (Some(first), Some(second)) = (perturbation, chosen.next()) {
            return Err(InvalidRegularization::TwoPerturbations { first, second });
        }
        let terms = LOSS_TERMS.iter().map(|&(name, _)| name).filter(|name| names.contains(name)).collect();
        Ok(Composition { perturbation, terms })
    }
}

/// What a trainer needs of the regularizers, whichever they are.
pub struct Regularization {
    /// With the loss terms.
    pub loss: Loss,
    /// Where the gradient is taken.
    pub perturbation: Box<dyn WeightPerturbation>,
    /// Perturb every k-th step.
    pub perturb_every: u64,
}

/// A composition whose every value is known and in its range, those of regularizers that it leaves out included.
#[derive(Clone)]
pub struct Resolved {
    reg: String,
    composition: Composition,
    perturbation: perturbations::Resolved,
    terms: terms::Resolved,
}

impl Options {
    /// The composition, with the defaults that depend on the model.
    ///
    /// # Errors
    /// A `--reg` that cannot be, and a value that makes no sense, whether or not its regularizer is in use.
    pub fn resolve(self, context: &BuildContext) -> Result<Resolved, InvalidRegularization> {
        let composition = Composition::parse(&self.reg)?;
        Ok(Resolved {
            reg: self.reg,
            perturbation: self.perturbation.resolve(context, composition.perturbation)?,
            terms: self.terms.resolve(context)?,
            composition,
        })
    }

    /// Refuses before a model is at hand what [`Options::resolve`] would refuse for any.
    ///
    /// # Errors
    /// As [`Options::resolve`].
    pub fn check(&self) -> Result<(), InvalidRegularization> {
        // Defaults are in their ranges whatever the model.
        self.clone().resolve(&BuildContext { architecture: Architecture::Bert }).map(|_| ())
    }
}

impl Resolved {
    /// The flags that give this composition for any model: what a run saves.
    pub fn options(&self) -> Options {
        Options {
            reg: self.reg.clone(),
            perturbation: self.perturbation.options(),
            terms: self.terms.options(),
        }
    }

    /// What is composed.
    pub fn composition(&self) -> &Composition {
        &self.composition
    }

    /// What a trainer needs, as it is before the first step.
    pub fn build(&self) -> Regularization {
        let Composition { perturbation, terms } = &self.composition;
        Regularization {
            loss: Loss { terms: terms.iter().filter_map(|name| self.terms.build(name)).collect() },
            perturbation: perturbation
                .and_then(|name| self.perturbation.build(name))
                .unwrap_or_else(|| Box::new(Plain)),
            perturb_every: self.perturbation.perturb_every,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter() {
        assert_eq!(Composition::parse("delta-sam,r3f"), Composition::parse(" r3f , delta-sam"));
        assert_eq!(Composition::parse("none").unwrap(), Composition { perturbation: None, terms: vec![] });
    }

    #[test]
    fn impossible_compositions_are_refused_in_a_sentence() {
        for (list, said) in [
            ("sam,delta-sam", "at most one"),
            ("r3f,r3f", "twice"),
            ("none,r3f", "leave it out"),
            ("dropout", "it knows none, sam, asam, delta-sam,"),
            ("", "does not know"),
            ("delta_sam", "\"delta_sam\" (did you mean delta-sam?)"),
            ("DeltaSAM", "did you mean delta-sam?"),
            ("r3f+sam", "did you mean r3f,sam?"),
            ("R3F & delta_sam", "did you mean r3f,delta-sam?"),
            ("sam,sam", "names sam twice; once is enough"),
        ] {
            let message = Composition::parse(list).unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
    }

    #[test]
    fn values_that_make_no_sense_are_refused_by_flag() {
        let defaults: Options = crate::cli_defaults();
        type Change = fn(&mut Options);
        let bad: [(&str, Change); 6] = [
            ("--rho", |o| o.perturbation.rho = Some(-1.0)),
            ("--rho", |o| o.perturbation.rho = Some(f64::NAN)),
            ("--beta", |o| o.perturbation.beta = Some(f64::INFINITY)),
            ("--r3f-eps", |o| o.terms.r3f.r3f_eps = Some(0.0)),
            ("--r3f-lambda", |o| o.terms.r3f.r3f_lambda = -0.5),
            ("--perturb-every", |o| o.perturbation.perturb_every = 0),
        ];
        for (flag, change) in bad {
            let mut options = defaults.clone();
            options.reg = "delta-sam,r3f".into();
            change(&mut options);
            let message = options.check().err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.contains(flag), "{flag}: {message:?}");
        }
    }
}
