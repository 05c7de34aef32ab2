//! What stands on an encoder, as data: linear layers with weights of their own, one after another.

use super::activation::Activation;
use super::part::{Kind, Part, Shapes};
use crate::modules::DenseActivation;

/// Layers from a pooled embedding to what an objective sees. Their weights are a group behind the encoder's
/// ([`Layout::with_head`](super::Layout::with_head)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The first takes the encoder's embedding.
    pub layers: Vec<HeadLayer>,
}

/// activation(W·dropout(x) + b)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadLayer {
    /// Names its weights.
    pub part: Part,
    /// Width of x.
    pub inputs: usize,
    /// Width of what comes out.
    pub outputs: usize,
    /// Whether x goes through dropout.
    pub drops_input: bool,
    /// Applied to the product plus the bias.
    pub activation: DenseActivation,
}

/// In what the heads of transformers' `ForSequenceClassification` differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRule {
    /// Whether the first token's hidden state goes through dropout before the dense layer.
    pub drops_input: bool,
    /// After the dense layer.
    pub activation: DenseActivation,
}

impl Head {
    /// The head of transformers' `ForSequenceClassification`: a dense layer and one with an output for each class, or
    /// a single one for a value.
    pub fn of_sequences(rule: HeadRule, hidden: usize, outputs: usize) -> Self {
        let HeadRule { drops_input, activation } = rule;
        Head {
            layers: vec![
                HeadLayer { part: Part::HeadDense, inputs: hidden, outputs: hidden, drops_input, activation },
                HeadLayer {
                    part: Part::HeadOutput,
                    inputs: hidden,
                    outputs,
                    drops_input: true,
                    activation: DenseActivation::Identity,
                },
            ],
        }
    }

    /// A projection of embeddings for a loss on them: a dense layer of their width, and tanh.
    pub fn of_embeddings(width: usize) -> Self {
        let (part, activation) = (Part::HeadDense, DenseActivation::Tanh);
        Head {
            layers: vec![HeadLayer { part, inputs: width, outputs: width, drops_input: false, activation }],
        }
    }

    /// The width of what comes out of the last layer.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// Its tensors, in the order in which they lie in their group.
    pub(super) fn shapes(&self) -> Shapes {
        let of_layer = |layer: &HeadLayer| {
            let weight = (layer.part, Kind::Weight, vec![layer.outputs, layer.inputs]);
            [weight, (layer.part, Kind::Bias, vec![layer.outputs])]
        };
        self.layers.iter().flat_map(of_layer).collect()
    }
}

/// What predicts words from hidden states, as transformers' `ForMaskedLM` has it: a dense layer, its activation,
/// LayerNorm, and a decoder whose matrix is that of the word embeddings ([`Layout::with_word_head`](super::Layout)).
#[derive(Clone, Debug, PartialEq)]
pub struct WordHead {
    /// Width of a hidden state.
    pub hidden: usize,
    /// Words that are told apart.
    pub vocab_size: usize,
    /// Behind the dense layer.
    pub activation: Activation,
    /// What LayerNorm adds to the variance.
    pub layer_norm_eps: f64,
}

impl WordHead {
    /// Its tensors, in the order in which they lie in their group.
    pub(super) fn shapes(&self) -> Shapes {
        let hidden = self.hidden;
        vec![
            (Part::WordDense, Kind::Weight, vec![hidden, hidden]),
            (Part::WordDense, Kind::Bias, vec![hidden]),
            (Part::WordNorm, Kind::Weight, vec![hidden]),
            (Part::WordNorm, Kind::Bias, vec![hidden]),
            (Part::WordDecoder, Kind::Bias, vec![self.vocab_size]),
        ]
    }
}
