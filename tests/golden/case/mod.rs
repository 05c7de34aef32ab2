//! A recorded step: the folder's numbers, our step on the same numbers, and the comparison.

use candle_core::{DType, Tensor};
use mirror::encoder::Parameters;
use mirror::objective::registry::BuildContext;
use mirror::objective::{Evaluation, Loss, Step};
use mirror::optim::{AdamW, AdamWConfig};
use mirror::perturb::delta_sam::{DeltaSam, InstanceWeights};
use mirror::perturb::plain::Plain;
use mirror::perturb::sam::{Sam, normalised};
use mirror::perturb::{Problem, Restriction, WeightPerturbation};
use serde_json::Value;

mod contrastive;
mod folder;
pub mod labelled;
pub mod masked;
mod recorded;

pub use contrastive::Views;
pub use folder::{Folder, Precision};
use folder::{flat, is_key_bias, relative_error, relative_error_of};

pub struct Case<'a> {
    folder: &'a Folder,
    name: String,
    expected: &'a Value,
    precision: Precision,
    perturbation: &'static str,
    worst: std::cell::Cell<f64>,
    worst_weight: std::cell::Cell<f64>,
}

impl<'a> Case<'a> {
    /// `name` is the case's in expected.json and ends with the regularizer.
    pub fn new(folder: &'a Folder, name: &str, precision: Precision) -> Self {
        let (name, regularizer) = (name.to_owned(), name.rsplit('/').next().unwrap_or(name));
        let expected = &folder.expected["cases"][&name];
        assert!(expected.is_object(), "{}: case {name} is missing", folder.path.display());
        let perturbation =
            ["delta-sam", "sam"].into_iter().find(|p| regularizer.starts_with(p)).unwrap_or("none");
        Case { folder, expected, precision, perturbation, name, worst: 0.0.into(), worst_weight: 0.0.into() }
    }

    fn loss(&self) -> Loss {
        let context = BuildContext { architecture: self.folder.config.architecture };
        let mut options = mirror::objective::registry::Options::default();
        let terms = ["r3f", "r-drop"].into_iter().filter(|term| self.name.contains(term)).map(|term| {
            match term {
                "r3f" => {
                    options.r3f.r3f_lambda = self.folder.number("r3f_lambda");
                    options.r3f.r3f_eps = Some(self.folder.number("r3f_noise_range"));
                }
                _ => options.r_drop.r_drop_alpha = self.folder.number("r_drop_alpha"),
            }
            options.clone().resolve(&context).unwrap().build(term).unwrap()
        });
        Loss { terms: terms.collect() }
    }

    fn perturbation(&self) -> Box<dyn WeightPerturbation> {
        let (rho, beta, restriction) =
            (self.folder.number("rho"), self.folder.number("beta"), Restriction::All);
        match self.perturbation {
            "sam" => Box::new(Sam { rho, restriction }),
            "delta-sam" => Box::new(DeltaSam { rho, beta, restriction }),
            _ => Box::new(Plain),
        }
    }

    /// Runs five steps from these weights and compares all that was recorded; says the largest errors.
    pub fn run(&self, step: &Step, mut weights: Parameters) -> String {
        let folder = self.folder;
        let config = AdamWConfig {
            learning_rate: folder.number("lr"),
            weight_decay: folder.number("weight_decay"),
            beta1: folder.expected["adam_betas"][0].as_f64().unwrap(),
            beta2: folder.expected["adam_betas"][1].as_f64().unwrap(),
            eps: folder.number("adam_eps"),
        };
        let mut optimizer = AdamW::new(config, &weights).unwrap();
        let mut loss = self.loss();
        let mut losses = Vec::new();
        for number in 1..=5 {
            loss.prepare(step, &weights).unwrap();
            let problem = Problem { loss: &loss, step };
            let (gradient, mean) = if number == 1 {
                self.first_step(&problem, &weights)
            } else {
                let descent = self.perturbation().descend(&problem, &weights).unwrap();
                (descent.gradient, descent.descent_loss)
            };
            losses.push(mean);
            optimizer.update(&mut weights, &gradient).unwrap();
            loss.after_update(&weights).unwrap();
            if number == 1 || number == 5 {
                self.compare_weights(number, &weights);
            }
        }
        let recorded = self.numbers("losses_5_steps");
        self.check("losses_5_steps", relative_error_of(&losses, &recorded), self.precision.weights(5));
        format!("{:.1e} (weights {:.1e})", self.worst.get(), self.worst_weight.get())
    }

    /// The first step of an encoder in bf16, from these weights: how far its loss is from the recorded one, and the cosine
    /// of its gradient and the recorded one. It goes on from the recorded g', as in f32.
    pub fn first_step_in_bf16(&self, step: &Step, weights: &Parameters) -> (f64, f64) {
        let mut loss = self.loss();
        loss.prepare(step, weights).unwrap();
        let problem = Problem { loss: &loss, step };
        let evaluation = problem.evaluate(weights).unwrap();
        let n = evaluation.instance_losses.len();
        let perturbed = match self.perturbation {
            "none" => weights.clone(),
            perturbation => {
                let uniform = vec![1.0 / n as f64; n];
                let of_instances = if perturbation == "sam" { uniform } else { self.numbers("g_prime") };
                let ascent = evaluation.gradient(&of_instances).unwrap();
                weights.plus(&normalised(&ascent, self.folder.number("rho")).unwrap(), 1.0).unwrap()
            }
        };
        let there = problem.evaluate(&perturbed).unwrap();
        let gradient = there.mean_gradient().unwrap();
        let (mut ours, mut recorded) = (Vec::new(), Vec::new());
        for (group, spec) in gradient.layout().tensors() {
            ours.extend(flat(&gradient.view(group, spec).unwrap()));
            recorded.extend(flat(self.recorded("grad", &spec.name)));
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = dot(&ours, &recorded) / (dot(&ours, &ours) * dot(&recorded, &recorded)).sqrt();
        ((there.mean_loss() - self.numbers("loss")[0]).abs(), cosine)
    }

    /// The first step with everything in it compared; gives the gradient and the loss of the descent.
    /// In f32 it goes on from the recorded g', since a_j may be smaller than f32 losses resolve.
    fn first_step(&self, problem: &Problem, weights: &Parameters) -> (Parameters, f64) {
        let evaluation = problem.evaluate(weights).unwrap();
        self.compare("instance_losses", &evaluation.instance_losses);
        if self.perturbation == "none" {
            let gradient = evaluation.mean_gradient().unwrap();
            self.compare_tensors("grad", &gradient);
            self.compare("loss", &[evaluation.mean_loss()]);
            return (gradient, evaluation.mean_loss());
        }
        let instance_weights = self.instance_weights(problem, weights, &evaluation);
        let ascent = evaluation.gradient(&instance_weights).unwrap();
        self.compare("ascent_grad_norm", &[ascent.norm().unwrap()]);
        let epsilon = normalised(&ascent, self.folder.number("rho")).unwrap();
        self.compare_tensors("epsilon", &epsilon);
        let perturbed = weights.plus(&epsilon, 1.0).unwrap();
        let there = problem.evaluate(&perturbed).unwrap();
        let gradient = there.mean_gradient().unwrap();
        self.compare_tensors("grad", &gradient);
        self.compare("loss", &[there.mean_loss()]);
        if self.precision == Precision::Composed64 {
            // The perturbation as the trainer uses it takes the same step.
            let descent = self.perturbation().descend(problem, weights).unwrap();
            self.compare_tensors("grad", &descent.gradient);
        }
        (gradient, there.mean_loss())
    }

    fn instance_weights(&self, problem: &Problem, weights: &Parameters, evaluation: &Evaluation) -> Vec<f64> {
        let n = evaluation.instance_losses.len();
        if self.perturbation == "sam" {
            return vec![1.0 / n as f64; n];
        }
        let beta = self.folder.number("beta");
        let delta_sam = DeltaSam { rho: self.folder.number("rho"), beta, restriction: Restriction::All };
        let a = delta_sam.loss_changes(problem, weights, &evaluation.instance_losses).unwrap();
        let recorded = self.numbers("a");
        if self.precision == Precision::Fused32 {
            let difference = a.iter().zip(&recorded).fold(0f64, |m, (x, y)| m.max((x - y).abs()));
            assert!(difference <= 1e-5, "{}: a differs by {difference:e}", self.name);
            return self.numbers("g_prime");
        }
        self.compare("a", &a);
        let ours = InstanceWeights::new(&a, beta);
        self.compare("g", &ours.g);
        self.compare("g_prime", &ours.g_prime);
        self.compare("r", &[ours.r]);
        ours.g_prime
    }

    fn numbers(&self, key: &str) -> Vec<f64> {
        match &self.expected[key] {
            Value::Array(list) => list.iter().map(|x| x.as_f64().unwrap()).collect(),
            number => vec![number.as_f64().unwrap_or_else(|| panic!("{} lacks {key}", self.name))],
        }
    }

    fn check(&self, what: &str, error: f64, tolerance: f64) {
        self.worst.set(self.worst.get().max(error));
        assert!(error <= tolerance, "{} {:?} {what}: {error:e} > {tolerance:e}", self.name, self.precision);
    }

    fn compare(&self, key: &str, ours: &[f64]) {
        self.check(key, relative_error_of(ours, &self.numbers(key)), self.precision.values());
    }

    fn recorded(&self, kind: &str, name: &str) -> &Tensor {
        let key = format!("{}/{kind}/{}", self.name, self.folder.recorded_name(name));
        self.folder.tensors.get(&key).unwrap_or_else(|| panic!("expected.safetensors lacks {key}"))
    }

    fn compare_tensors(&self, kind: &str, ours: &Parameters) {
        for (group, spec) in ours.layout().tensors() {
            let (name, tensor) = (&spec.name, ours.view(group, spec).unwrap());
            let expected = self.recorded(kind, name);
            if is_key_bias(spec) {
                let largest: f64 = tensor
                    .abs()
                    .unwrap()
                    .max_all()
                    .unwrap()
                    .to_dtype(DType::F64)
                    .unwrap()
                    .to_scalar()
                    .unwrap();
                assert!(largest <= 1e-6, "{} {kind}/{name}: {largest:e}", self.name);
            } else {
                self.check(
                    &format!("{kind}/{name}"),
                    relative_error(&tensor, expected),
                    self.precision.values(),
                );
            }
        }
    }

    fn compare_weights(&self, steps: usize, ours: &Parameters) {
        for (group, spec) in ours.layout().tensors().filter(|(_, spec)| !is_key_bias(spec)) {
            let (name, tensor) = (&spec.name, ours.view(group, spec).unwrap());
            let expected = self.recorded(&format!("weights_after_{steps}"), name);
            let mut ours = flat(&tensor);
            self.settle_unresolved(steps, name, &mut ours, &flat(expected));
            let error = relative_error_of(&ours, &flat(expected));
            self.worst_weight.set(self.worst_weight.get().max(error));
            let tolerance = self.precision.weights(steps);
            assert!(error <= tolerance, "{} {:?} {name} after {steps}: {error:e}", self.name, self.precision);
        }
    }

    /// AdamW's first step is lr·g/(|g| + 1e-8): where the recorded gradient is not 0 but below what
    /// f32 resolves, rounding alone decides the step, in PyTorch's f32 as in ours. Such an element
    /// may be off by what the steps so far can move it, and is then taken as equal.
    fn settle_unresolved(&self, steps: usize, name: &str, ours: &mut [f64], expected: &[f64]) {
        if self.precision == Precision::Composed64 {
            return;
        }
        let gradient = flat(self.recorded("grad", name));
        let largest = gradient.iter().fold(0f64, |m, g| m.max(g.abs()));
        let unresolved = (1e-6 * largest).max(20.0 * self.folder.number("adam_eps"));
        let reach = 2.0 * self.folder.number("lr") * steps as f64;
        for ((ours, expected), gradient) in ours.iter_mut().zip(expected).zip(gradient) {
            if gradient != 0.0 && gradient.abs() < unresolved {
                let off = (*ours - expected).abs();
                assert!(off <= reach, "{} {name} after {steps}: off by {off:e}", self.name);
                *ours = *expected;
            }
        }
    }
}
