//! Gradients: candle loses them silently, and weight decay hides that. Each tensor's is held against finite
//! differences in f64, and the CPU backend's against the reference and against PyTorch.

mod peers;

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use mirror::encoder::{Encoder, EncoderConfig, PackedBatch, Parameters, Pass, Pooling, SequenceId};
use mirror::model::layout::TensorSpec;
use mirror::model::{Activation, Head, Kind, Part};
use mirror::model_folder::read_parameters;
use mirror::modules::{Dense, DenseActivation, Module, Modules, Residual};
use mirror::objective::registry::{BuildContext, LOSS_TERMS, Options};
use mirror::objective::{Classification, Contrastive, HashedDraws, Loss, Objective, Regression, Step, head};
use mirror::random::Key;

/// The terms that `--reg` adds to NT-Xent.
fn terms() -> Vec<&'static str> {
    LOSS_TERMS.iter().map(|&(name, _)| name).collect()
}

/// The folders of tests/golden.
const FOLDERS: [&str; 4] = ["bert", "roberta", "mpnet", "distilbert"];

const LENGTH: usize = 9;

/// A tiny model with everything that is random about a step, which is the same in every evaluation.
struct Problem {
    encoder: Encoder,
    weights: Parameters,
    batch: PackedBatch,
    draws: HashedDraws,
    objective: Box<dyn Objective>,
}

impl Problem {
    fn new(folder: &str, pooling: Pooling, dtype: DType) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
        let config = EncoderConfig::from_folder(&folder).unwrap();
        let layout = Arc::new(config.layout());
        let weights = read_parameters(&folder, &layout, dtype, &Device::Cpu).unwrap();
        let encoder = Encoder::new(config, pooling);
        let batch = batch(&encoder);
        let objective = Box::new(Contrastive::new(0.2));
        Problem { encoder, weights, batch, draws: HashedDraws::new(5, 1), objective }
    }

    fn with_prefixes(self, prefixes: &[usize]) -> Self {
        let prefixes = prefixes.to_owned();
        Problem { objective: Box::new(Contrastive { prefixes, ..Contrastive::new(0.2) }), ..self }
    }

    /// With transformers' head for classifying sequences, or for a value of each where there is one output.
    fn with_head(mut self, outputs: usize) -> Self {
        let (head, sequences) = (self.encoder.config.sequence_head(outputs), self.batch.len());
        self.add_weights_of(&head);
        self.objective = if outputs == 1 {
            let values = (0..sequences as u32).map(|i| Key::new(19).normal(i)).collect();
            Box::new(Regression { head, values })
        } else {
            Box::new(Classification { head, classes: (0..sequences).map(|i| i % outputs).collect() })
        };
        self
    }

    /// With a projection of embeddings before NT-Xent compares them.
    fn with_projection(mut self) -> Self {
        let head = Head::of_embeddings(self.encoder.width());
        self.add_weights_of(&head);
        self.objective = Box::new(Contrastive { head: Some(head), ..Contrastive::new(0.2) });
        self
    }

    /// Weights larger than a new head's, so that its activations bend.
    fn add_weights_of(&mut self, head: &Head) {
        let layout = Arc::new(self.encoder.config.layout().with_head(head));
        let own = head::initial(head, 17).unwrap();
        let with_head =
            Parameters::from_named(layout, self.weights.dtype(), &Device::Cpu, |spec| {
                match head.layers.iter().position(|layer| layer.part == spec.part) {
                    Some(place) if spec.kind == Kind::Weight => &own[place][0] * 20.0,
                    Some(_) => {
                        let values = (0..spec.len() as u32).map(|i| 0.1 * Key::new(18).normal(i));
                        Tensor::from_vec(values.collect::<Vec<f64>>(), spec.shape.as_slice(), &Device::Cpu)
                    }
                    None => self.weights.get(&spec.name),
                }
            });
        self.weights = with_head.unwrap();
    }

    /// With a prompt that is left out of pooling, and modules after it.
    fn with_a_folder_of_its_own(mut self) -> Self {
        self.batch.unpooled.fill(2);
        let hidden = self.encoder.config.dimensions.hidden_size;
        let random = |seed: u64, shape: &[usize]| {
            let values: Vec<f64> =
                (0..shape.iter().product::<usize>() as u32).map(|i| Key::new(seed).normal(i) * 0.5).collect();
            Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        let dense = Dense {
            weight: random(21, &[7, hidden]),
            bias: Some(random(22, &[7])),
            activation: DenseActivation::Tanh,
            residual: Residual::None,
        };
        let norm = Module::LayerNorm { weight: random(23, &[7]), bias: random(24, &[7]) };
        let steps = vec![Module::Normalize, Module::Dense(dense), norm, Module::Truncate(6)];
        self.encoder.modules = Arc::new(Modules::new(steps));
        self
    }

    /// The step's losses, with dropout and drophead.
    fn step(&self) -> Step<'_> {
        let pass =
            Pass { key: self.draws.pass_key(), hidden_dropout: 0.1, attention_dropout: 0.15, drophead: 0.3 };
        Step {
            encoder: &self.encoder,
            batch: &self.batch,
            pass,
            draws: &self.draws,
            objective: self.objective.as_ref(),
        }
    }

    /// The terms, prepared at weights other than those that are differentiated at: a proximal term has no
    /// gradient where it is prepared.
    fn regularized(&self, terms: &[&str]) -> Loss {
        let mut options = Options::default();
        options.r3f.r3f_eps = Some(0.05);
        let context = BuildContext { architecture: self.encoder.config.architecture };
        let resolved = options.resolve(&context).unwrap();
        let terms = terms.iter().map(|name| resolved.build(name).unwrap()).collect();
        let mut loss = Loss { terms };
        let elsewhere = self.weights.plus(&direction(&self.weights, 99), 0.02).unwrap();
        loss.prepare(&self.step(), &elsewhere).unwrap();
        loss
    }

    fn gradient(&self, loss: &Loss) -> Parameters {
        loss.evaluate(&self.step(), &self.weights).unwrap().mean_gradient().unwrap()
    }

    fn mean(&self, loss: &Loss, weights: &Parameters) -> f64 {
        mirror::objective::mean(&loss.instance_losses(&self.step(), weights).unwrap())
    }
}

/// Four sentences of different lengths in two views.
fn batch(encoder: &Encoder) -> PackedBatch {
    let mut batch = PackedBatch::new();
    let others = encoder.config.dimensions.vocab_size as u64 - 5;
    for view in 0..2u32 {
        for (sentence, length) in [5, LENGTH, 3, 7].into_iter().enumerate() {
            let key = Key::new(11).at(u64::from(view)).at(sentence as u64);
            let tokens: Vec<u32> = (0..length as u64).map(|i| 5 + key.at(i).below(others) as u32).collect();
            encoder.push(&mut batch, &tokens, SequenceId { view, sentence: sentence as u32 }, LENGTH + 2);
        }
    }
    batch
}

/// A normally distributed direction.
fn direction(like: &Parameters, seed: u64) -> Parameters {
    let mut group = 0;
    like.map(|flat| {
        group += 1;
        let key = Key::new(seed).at(group);
        let values: Vec<f64> = (0..flat.elem_count() as u32).map(|i| key.normal(i)).collect();
        Tensor::from_vec(values, flat.dims(), flat.device())?.to_dtype(flat.dtype())
    })
    .unwrap()
}

/// A key's bias adds the same to all scores of a row.
fn is_key_bias(spec: &TensorSpec) -> bool {
    (spec.part, spec.kind) == (Part::Key, Kind::Bias)
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// A direction that moves one tensor only: half along its gradient, half at random.
fn towards(gradient: &Parameters, name: &str) -> (Parameters, Vec<f64>) {
    let along = values(&gradient.get(name).unwrap());
    let key = Key::new(13);
    let random: Vec<f64> = (0..along.len() as u32).map(|i| key.normal(i)).collect();
    let (a, r) = (norm(&along).max(1e-300), norm(&random));
    let moved: Vec<f64> = along.iter().zip(&random).map(|(x, y)| 0.7 * x / a + 0.7 * y / r).collect();
    let layout = gradient.layout().clone();
    let parameters = Parameters::from_named(layout, DType::F64, &Device::Cpu, |spec| {
        if spec.name == name {
            Tensor::from_slice(&moved, spec.shape.as_slice(), &Device::Cpu)
        } else {
            Tensor::zeros(spec.shape.as_slice(), DType::F64, &Device::Cpu)
        }
    });
    (parameters.unwrap(), moved)
}

/// Every tensor's gradient against the five-point difference of the loss along a direction of its own.
fn agrees_with_finite_differences(folder: &str, pooling: Pooling, terms: &[&str]) {
    agrees(Problem::new(folder, pooling, DType::F64), folder, terms);
}

fn agrees(problem: Problem, folder: &str, terms: &[&str]) {
    let pooling = problem.encoder.pooling;
    let loss = problem.regularized(terms);
    let gradient = problem.gradient(&loss);
    let whole = gradient.norm().unwrap();
    let mut worst = 0f64;
    for (_, spec) in gradient.layout().tensors() {
        let (name, ours) = (&spec.name, values(&gradient.get(&spec.name).unwrap()));
        if is_key_bias(spec) {
            // A key's bias adds the same to all scores of a row: no gradient in exact arithmetic.
            assert!(norm(&ours) < 1e-12 * whole, "{folder} {terms:?}: {name} {:e}", norm(&ours));
            continue;
        }
        assert!(norm(&ours) > 1e-5 * whole, "{folder} {terms:?}: {name} {:e} of {whole:e}", norm(&ours));
        let (towards, moved) = towards(&gradient, name);
        let at = |h: f64| problem.mean(&loss, &problem.weights.plus(&towards, h).unwrap());
        let h = 2e-4;
        let measured = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
        let expected: f64 = ours.iter().zip(&moved).map(|(g, d)| g * d).sum();
        // Rounding of the loss, divided by h, is about 1e-12 of a gradient of 1.
        let error = (measured - expected).abs() / (norm(&ours) + 1e-5 * whole);
        assert!(error < 1e-8, "{folder} {pooling} {terms:?}: {name} {measured:e} {expected:e} ({error:e})");
        worst = worst.max(error);
    }
    println!("{folder} {pooling} {terms:?}: largest error {worst:.1e}");
}

#[test]
fn nt_xent_agrees_with_finite_differences() {
    for folder in FOLDERS {
        for pooling in Pooling::ALL {
            agrees_with_finite_differences(folder, pooling, &[]);
        }
    }
}

#[test]
fn a_prompt_and_modules_agree_with_finite_differences() {
    for pooling in Pooling::ALL {
        agrees(Problem::new("bert", pooling, DType::F64).with_a_folder_of_its_own(), "bert", &[]);
    }
    agrees(Problem::new("bert", Pooling::Mean, DType::F64).with_a_folder_of_its_own(), "bert", &terms());
}

#[test]
fn every_loss_term_agrees_with_finite_differences() {
    for term in terms() {
        agrees_with_finite_differences("bert", Pooling::Mean, &[term]);
        agrees_with_finite_differences("roberta", Pooling::Cls, &[term]);
        agrees_with_finite_differences("mpnet", Pooling::Mean, &[term]);
    }
}

/// The loss of prefixes, alone and with every term, whose divergences are means over the same prefixes.
#[test]
fn matryoshka_agrees_with_finite_differences() {
    for terms in [vec![], terms()] {
        let problem = Problem::new("bert", Pooling::Mean, DType::F64).with_prefixes(&[2, 5, 8]);
        agrees(problem, "bert", &terms);
    }
    let problem = Problem::new("roberta", Pooling::Cls, DType::F64).with_a_folder_of_its_own();
    agrees(problem.with_prefixes(&[3]), "roberta", &terms());
}

/// The head's tensors as any other's, by themselves and with every term.
#[test]
fn heads_agree_with_finite_differences() {
    for folder in FOLDERS {
        for outputs in [1, 3] {
            for terms in [vec![], terms()] {
                agrees(Problem::new(folder, Pooling::Cls, DType::F64).with_head(outputs), folder, &terms);
            }
        }
    }
}

#[test]
fn projections_agree_with_finite_differences() {
    for terms in [vec![], terms()] {
        let problem = || Problem::new("bert", Pooling::Mean, DType::F64);
        agrees(problem().with_projection(), "bert", &terms);
        agrees(problem().with_a_folder_of_its_own().with_projection(), "bert", &terms);
    }
}

#[test]
fn heads_have_the_same_gradient_on_the_cpu_as_by_the_reference() {
    for folder in FOLDERS {
        for outputs in [1, 3] {
            let gradient = |dtype| {
                let problem = Problem::new(folder, Pooling::Cls, dtype).with_head(outputs);
                problem.gradient(&problem.regularized(&terms()))
            };
            let told = format!("{folder} with {outputs} outputs");
            largest_error(&told, &gradient(DType::F32), &gradient(DType::F64));
        }
    }
}

#[test]
fn the_cpu_has_the_references_gradient() {
    for folder in FOLDERS {
        for pooling in Pooling::ALL {
            for activation in [
                Activation::Gelu,
                Activation::GeluTanh,
                Activation::QuickGelu,
                Activation::Relu,
                Activation::Silu,
            ] {
                let gradient = |dtype| {
                    let mut problem = Problem::new(folder, pooling, dtype);
                    problem.encoder.config.activation = activation;
                    let loss = problem.regularized(&terms());
                    (problem.mean(&loss, &problem.weights), problem.gradient(&loss))
                };
                let ((loss, cpu), (expected_loss, reference)) = (gradient(DType::F32), gradient(DType::F64));
                let told = format!("{folder} {pooling} {activation:?}");
                assert!(
                    (loss - expected_loss).abs() < 1e-4 * expected_loss,
                    "{told}: {loss} {expected_loss}"
                );
                let worst = largest_error(&told, &cpu, &reference);
                println!("{told}: largest error {worst:.1e}");
            }
        }
    }
}

#[test]
fn so_it_has_with_a_prompt_and_modules() {
    for pooling in Pooling::ALL {
        let gradient = |dtype| {
            let problem = Problem::new("roberta", pooling, dtype).with_a_folder_of_its_own();
            let loss = problem.regularized(&terms());
            problem.gradient(&loss)
        };
        largest_error(&format!("{pooling}"), &gradient(DType::F32), &gradient(DType::F64));
    }
}

/// Of each tensor, as a share of its largest value.
fn largest_error(told: &str, cpu: &Parameters, reference: &Parameters) -> f64 {
    let mut worst = 0f64;
    for (group, spec) in cpu.layout().tensors() {
        let [ours, expected] = [cpu, reference].map(|all| values(&all.view(group, spec).unwrap()));
        let name = &spec.name;
        let most = |values: &[f64]| values.iter().fold(0f64, |m, v| m.max(v.abs()));
        if is_key_bias(spec) {
            assert!(most(&ours) < 1e-6 * (1.0 + most(&ours)), "{told}: {name} {:e}", most(&ours));
            continue;
        }
        let difference: Vec<f64> = ours.iter().zip(&expected).map(|(a, b)| a - b).collect();
        let error = most(&difference) / most(&expected);
        assert!(error < 1e-4, "{told}: {name} {error:e}");
        worst = worst.max(error);
    }
    worst
}
