//! Where each named tensor of a checkpoint lies in the few flat buffers that training works on.

use std::collections::HashMap;

use super::architecture::Architecture;
use super::head::{Head, WordHead};
use super::part::{Kind, Part, Shapes};

/// One named tensor inside a group's flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name as transformers' class without a head has it.
    pub name: String,
    /// Which part of the encoder it belongs to.
    pub part: Part,
    /// Its weight or its bias.
    pub kind: Kind,
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

    /// Whether it is a LayerNorm's factor, which is about 1.
    pub fn is_norm_weight(&self) -> bool {
        self.part.is_norm() && self.kind == Kind::Weight
    }

    /// The name that a LayerNorm's tensor had in TensorFlow, and has in checkpoints that came from there.
    pub fn old_name(&self) -> Option<String> {
        let old = match self.kind {
            Kind::Weight => "gamma",
            Kind::Bias => "beta",
        };
        let module = self.name.strip_suffix(self.kind.suffix())?;
        self.part.is_norm().then(|| format!("{module}{old}"))
    }

    /// The name of the tensor's module.
    pub fn module(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(module, _)| module)
    }
}

/// The tensors that share one flat buffer: the embeddings, one layer, or a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// In the order in which they lie, without gaps.
    pub tensors: Vec<TensorSpec>,
    /// Elements in the buffer.
    pub len: usize,
}

impl Group {
    fn new(before: &str, architecture: Architecture, parts: Shapes) -> Self {
        let module = architecture.description().module;
        let mut offset = 0;
        let tensors = parts
            .into_iter()
            .map(|(part, kind, shape)| {
                let name = format!("{before}{}.{}", module(part), kind.suffix());
                let spec = TensorSpec { name, part, kind, offset, shape };
                offset += spec.len();
                spec
            })
            .collect();
        Group { tensors, len: offset }
    }
}

/// The order and shapes of all trained parameters: group 0 holds the embeddings and what layers share, group
/// `1 + l` layer `l`, and what an objective has of its own comes behind these. Within a layer query, key and value lie together, so that the three projections are
/// one `[3 · hidden, hidden]` matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The embeddings, then a group a layer, then a head's.
    pub groups: Vec<Group>,
    /// Whose names the tensors have.
    pub architecture: Architecture,
    index: HashMap<String, (usize, usize)>,
}

/// The sizes that determine a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Rows of the position embedding.
    pub max_position_embeddings: usize,
    /// Rows of the token type embedding; 0 where there are no token types.
    pub type_vocab_size: usize,
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Width within a feed-forward block.
    pub intermediate_size: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
    /// The size of the relative bias's table, `[buckets, heads]`; no buckets where there is none.
    pub relative_bias: [usize; 2],
}

impl Dimensions {
    /// Groups of an encoder's weights, which come first: other weights may follow in groups of their own.
    pub fn groups(&self) -> usize {
        1 + self.num_hidden_layers
    }
}

impl Layout {
    /// The tensors of an encoder of these sizes, by the architecture's names.
    pub fn new(architecture: Architecture, d: &Dimensions) -> Self {
        let mut groups = vec![Group::new("", architecture, shared_parts(d))];
        let layers = architecture.description().layers;
        groups.extend(
            (0..d.num_hidden_layers)
                .map(|layer| Group::new(&format!("{layers}.{layer}."), architecture, layer_parts(d))),
        );
        Layout::of_groups(groups, architecture)
    }

    /// The same with the weights of a head, as one more group.
    pub fn with_head(mut self, head: &Head) -> Self {
        self.groups.push(Group::new("", self.architecture, head.shapes()));
        Layout::of_groups(self.groups, self.architecture)
    }

    /// The same with the weights of a head that predicts words, as one more group.
    pub fn with_word_head(mut self, head: &WordHead) -> Self {
        self.groups.push(Group::new("", self.architecture, head.shapes()));
        Layout::of_groups(self.groups, self.architecture)
    }

    fn of_groups(groups: Vec<Group>, architecture: Architecture) -> Self {
        let index = groups
            .iter()
            .enumerate()
            .flat_map(|(g, group)| {
                group.tensors.iter().enumerate().map(move |(t, spec)| (spec.name.clone(), (g, t)))
            })
            .collect();
        Layout { groups, architecture, index }
    }

    /// Group index and place of the tensor called `name`.
    pub fn find(&self, name: &str) -> Option<(usize, &TensorSpec)> {
        let &(group, tensor) = self.index.get(name)?;
        Some((group, &self.groups[group].tensors[tensor]))
    }

    /// The tensor of a part: of group 0, or of a layer's group.
    pub fn part(&self, group: usize, part: Part, kind: Kind) -> Option<&TensorSpec> {
        self.groups.get(group)?.tensors.iter().find(|spec| (spec.part, spec.kind) == (part, kind))
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

fn shared_parts(d: &Dimensions) -> Shapes {
    let h = d.hidden_size;
    let mut parts = vec![
        (Part::WordEmbeddings, Kind::Weight, vec![d.vocab_size, h]),
        (Part::PositionEmbeddings, Kind::Weight, vec![d.max_position_embeddings, h]),
    ];
    if d.type_vocab_size > 0 {
        parts.push((Part::TokenTypeEmbeddings, Kind::Weight, vec![d.type_vocab_size, h]));
    }
    parts.push((Part::EmbeddingNorm, Kind::Weight, vec![h]));
    parts.push((Part::EmbeddingNorm, Kind::Bias, vec![h]));
    if d.relative_bias[0] > 0 {
        parts.push((Part::RelativeBias, Kind::Weight, d.relative_bias.to_vec()));
    }
    parts
}

fn layer_parts(d: &Dimensions) -> Shapes {
    let (h, i) = (d.hidden_size, d.intermediate_size);
    vec![
        (Part::Query, Kind::Weight, vec![h, h]),
        (Part::Key, Kind::Weight, vec![h, h]),
        (Part::Value, Kind::Weight, vec![h, h]),
        (Part::Query, Kind::Bias, vec![h]),
        (Part::Key, Kind::Bias, vec![h]),
        (Part::Value, Kind::Bias, vec![h]),
        (Part::AttentionOutput, Kind::Weight, vec![h, h]),
        (Part::AttentionOutput, Kind::Bias, vec![h]),
        (Part::AttentionNorm, Kind::Weight, vec![h]),
        (Part::AttentionNorm, Kind::Bias, vec![h]),
        (Part::Intermediate, Kind::Weight, vec![i, h]),
        (Part::Intermediate, Kind::Bias, vec![i]),
        (Part::Output, Kind::Weight, vec![h, i]),
        (Part::Output, Kind::Bias, vec![h]),
        (Part::OutputNorm, Kind::Weight, vec![h]),
        (Part::OutputNorm, Kind::Bias, vec![h]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(architecture: Architecture, type_vocab_size: usize, buckets: usize) -> Vec<String> {
        let layout = Layout::new(
            architecture,
            &Dimensions {
                vocab_size: 3,
                max_position_embeddings: 2,
                type_vocab_size,
                hidden_size: 2,
                intermediate_size: 3,
                num_hidden_layers: 1,
                relative_bias: [buckets, 2],
            },
        );
        layout.tensors().map(|(_, spec)| spec.name.clone()).collect()
    }

    #[test]
    fn names_are_those_of_transformers() {
        let of = |names: &[String], parts: &[&str]| {
            let expected = parts.iter().flat_map(|p| [format!("{p}.weight"), format!("{p}.bias")]);
            let expected: std::collections::BTreeSet<String> = expected.collect();
            assert_eq!(expected, names.iter().filter(|n| n.contains(".0.")).cloned().collect());
        };
        let bert = names(Architecture::Bert, 2, 0);
        assert_eq!(bert[2], "embeddings.token_type_embeddings.weight");
        assert!(bert.contains(&"encoder.layer.0.attention.output.LayerNorm.bias".to_owned()));
        let mpnet = names(Architecture::Mpnet, 0, 32);
        assert_eq!(
            mpnet[2..5].concat(),
            [
                "embeddings.LayerNorm.weight",
                "embeddings.LayerNorm.bias",
                "encoder.relative_attention_bias.weight"
            ]
            .concat()
        );
        of(
            &mpnet,
            &[
                "attention.attn.q",
                "attention.attn.k",
                "attention.attn.v",
                "attention.attn.o",
                "attention.LayerNorm",
                "intermediate.dense",
                "output.dense",
                "output.LayerNorm",
            ]
            .map(|part| format!("encoder.layer.0.{part}"))
            .each_ref()
            .map(String::as_str),
        );
        let distil = names(Architecture::DistilBert, 0, 0);
        of(
            &distil,
            &[
                "attention.q_lin",
                "attention.k_lin",
                "attention.v_lin",
                "attention.out_lin",
                "sa_layer_norm",
                "ffn.lin1",
                "ffn.lin2",
                "output_layer_norm",
            ]
            .map(|part| format!("transformer.layer.0.{part}"))
            .each_ref()
            .map(String::as_str),
        );
    }
}
