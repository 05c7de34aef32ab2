//! Where each named tensor of a checkpoint lies in the few flat buffers that training works on.

use std::collections::HashMap;

/// One named tensor inside a group's flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name as in a checkpoint without the `bert.` / `roberta.` prefix.
    pub name: String,
    /// Its first value's place in the flat tensor of its group.
    pub offset: usize,
    /// The shape that its values are viewed in.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// How many values it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its values' places in the flat tensor.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// The tensors that share one flat buffer: the embeddings, or one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// In the order in which they lie, without gaps.
    pub tensors: Vec<TensorSpec>,
    /// Elements in the buffer.
    pub len: usize,
}

impl Group {
    fn new(named: Vec<(String, Vec<usize>)>) -> Self {
        let mut offset = 0;
        let tensors = named
            .into_iter()
            .map(|(name, shape)| {
                let spec = TensorSpec { name, offset, shape };
                offset += spec.len();
                spec
            })
            .collect();
        Group { tensors, len: offset }
    }
}

/// The order and shapes of all trained parameters: group 0 holds the embeddings, group `1 + l`
/// layer `l`. Within a layer query, key and value lie together, so that the three projections are
/// one `[3 · hidden, hidden]` matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The embeddings, then a group a layer.
    pub groups: Vec<Group>,
    index: HashMap<String, (usize, usize)>,
}

/// The sizes that determine a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Rows of the position embedding.
    pub max_position_embeddings: usize,
    /// Rows of the token type embedding.
    pub type_vocab_size: usize,
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Width within a feed-forward block.
    pub intermediate_size: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
}

impl Dimensions {
    /// Groups of an encoder's weights, which come first: other weights may follow in groups of their own.
    pub fn groups(&self) -> usize {
        1 + self.num_hidden_layers
    }
}

impl Layout {
    /// The layout of an encoder with these sizes.
    pub fn new(d: &Dimensions) -> Self {
        let h = d.hidden_size;
        let mut groups = vec![Group::new(vec![
            ("embeddings.word_embeddings.weight".into(), vec![d.vocab_size, h]),
            ("embeddings.position_embeddings.weight".into(), vec![d.max_position_embeddings, h]),
            ("embeddings.token_type_embeddings.weight".into(), vec![d.type_vocab_size, h]),
            ("embeddings.LayerNorm.weight".into(), vec![h]),
            ("embeddings.LayerNorm.bias".into(), vec![h]),
        ])];
        groups.extend((0..d.num_hidden_layers).map(|layer| Group::new(layer_tensors(layer, d))));
        let index = groups
            .iter()
            .enumerate()
            .flat_map(|(g, group)| {
                group.tensors.iter().enumerate().map(move |(t, spec)| (spec.name.clone(), (g, t)))
            })
            .collect();
        Layout { groups, index }
    }

    /// Group index and place of the tensor called `name`.
    pub fn find(&self, name: &str) -> Option<(usize, &TensorSpec)> {
        let &(group, tensor) = self.index.get(name)?;
        Some((group, &self.groups[group].tensors[tensor]))
    }

    /// All tensors with their group's index, in order.
    pub fn tensors(&self) -> impl Iterator<Item = (usize, &TensorSpec)> {
        self.groups.iter().enumerate().flat_map(|(g, group)| group.tensors.iter().map(move |t| (g, t)))
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|g| g.len).sum()
    }

    /// Whether it has no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn layer_tensors(layer: usize, d: &Dimensions) -> Vec<(String, Vec<usize>)> {
    let (h, i) = (d.hidden_size, d.intermediate_size);
    [
        ("attention.self.query.weight", vec![h, h]),
        ("attention.self.key.weight", vec![h, h]),
        ("attention.self.value.weight", vec![h, h]),
        ("attention.self.query.bias", vec![h]),
        ("attention.self.key.bias", vec![h]),
        ("attention.self.value.bias", vec![h]),
        ("attention.output.dense.weight", vec![h, h]),
        ("attention.output.dense.bias", vec![h]),
        ("attention.output.LayerNorm.weight", vec![h]),
        ("attention.output.LayerNorm.bias", vec![h]),
        ("intermediate.dense.weight", vec![i, h]),
        ("intermediate.dense.bias", vec![i]),
        ("output.dense.weight", vec![h, i]),
        ("output.dense.bias", vec![h]),
        ("output.LayerNorm.weight", vec![h]),
        ("output.LayerNorm.bias", vec![h]),
    ]
    .into_iter()
    .map(|(name, shape)| (format!("encoder.layer.{layer}.{name}"), shape))
    .collect()
}
