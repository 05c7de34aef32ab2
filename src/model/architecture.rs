//! What distinguishes the encoders that are known, as data: one [`Description`] each. Configuration, layout, both
//! backends, the ONNX graph, what is read and what is written ask it, and nothing else asks which encoder it is.

use super::activation::Activation;
use super::head::HeadRule;
use super::part::Part;
use super::pooling::Pooling;
use super::relative::RelativeBias;
use crate::modules::DenseActivation;

/// The encoders that are known, by transformers' `model_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// BERT, and what is built like it.
    Bert,
    /// RoBERTa.
    Roberta,
    /// XLM-RoBERTa: RoBERTa with another tokenizer.
    XlmRoberta,
    /// CamemBERT: the same.
    Camembert,
    /// MPNet: a relative bias in attention, no token types.
    Mpnet,
    /// DistilBERT: names of its own, no token types.
    DistilBert,
}

/// Everything in which one encoder differs from another.
#[derive(Debug)]
pub struct Description {
    /// `model_type` in config.json.
    pub model_type: &'static str,
    /// transformers' class of the encoder without a head.
    pub class: &'static str,
    /// What transformers' classes with a head put before each name.
    pub prefix: &'static str,
    /// What config.json calls its sizes.
    pub keys: Keys,
    /// Which rows of the position embedding its tokens have.
    pub positions: PositionRule,
    /// Added to attention's scores; its table is one for all layers.
    pub relative_bias: Option<RelativeBias>,
    /// Whether there are embeddings of token types.
    pub token_types: TokenTypes,
    /// Whether the second text of a pair has a token type of its own: whether transformers' tokenizer gives
    /// `token_type_ids`.
    pub types_pairs: bool,
    /// The id of the padding token where config.json has none.
    pub pad_token_id: u32,
    /// LayerNorm's ε, where the class has it built in, whatever config.json says.
    pub layer_norm_eps: Option<f64>,
    /// What the names of a layer's tensors begin with, before the layer's number.
    pub layers: &'static str,
    /// The name of a part's module: in full, or of a layer's part after the layer's number.
    pub module: fn(Part) -> &'static str,
    /// What transformers' class for classifying sequences puts on the encoder.
    pub head: HeadRule,
    /// The activation of the head that predicts masked words, where it is not the configuration's.
    pub word_activation: Option<Activation>,
    /// Tensors that are passed on as they are, since transformers' class has them.
    pub untrained: &'static [&'static str],
    /// What is chosen where nobody says.
    pub defaults: Defaults,
}

/// The keys of config.json that differ.
#[derive(Debug)]
pub struct Keys {
    /// Width of a hidden state.
    pub hidden_size: &'static str,
    /// Layers.
    pub num_hidden_layers: &'static str,
    /// Heads of a layer.
    pub num_attention_heads: &'static str,
    /// Width within a feed-forward block.
    pub intermediate_size: &'static str,
    /// The function between its two matrices.
    pub activation: &'static str,
}

/// Which position a token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionRule {
    /// Its place in the sequence, from 0.
    FromZero,
    /// Tokens that are not the configuration's padding are counted from its id + 1; padding has its id.
    AfterPadding,
    /// The same with this id, whatever the configuration's is.
    After(u32),
}

/// Whether there are embeddings of token types; sentences by themselves are of type 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenTypes {
    /// There are none.
    None,
    /// `type_vocab_size` of them, and so many where config.json does not say.
    Embedded(usize),
}

/// What is chosen where neither the folder nor the user says.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// How hidden states become an embedding.
    pub pooling: Pooling,
    /// δ-SAM's β.
    pub beta: f64,
    /// R3F's ε.
    pub r3f_eps: f64,
}

const BERT: Description = Description {
    model_type: "bert",
    class: "BertModel",
    prefix: "bert.",
    keys: Keys {
        hidden_size: "hidden_size",
        num_hidden_layers: "num_hidden_layers",
        num_attention_heads: "num_attention_heads",
        intermediate_size: "intermediate_size",
        activation: "hidden_act",
    },
    positions: PositionRule::FromZero,
    relative_bias: None,
    token_types: TokenTypes::Embedded(2),
    types_pairs: true,
    pad_token_id: 0,
    layer_norm_eps: None,
    layers: "encoder.layer",
    module: bert_module,
    // The pooler is the encoder's own, and dropout comes behind it.
    head: HeadRule { drops_input: false, activation: DenseActivation::Tanh },
    word_activation: None,
    untrained: &["pooler.dense.weight", "pooler.dense.bias"],
    // β is our choice, ε the paper's (Aghajanyan et al. 2021).
    defaults: Defaults { pooling: Pooling::Mean, beta: 3.0, r3f_eps: 5e-2 },
};

const ROBERTA: Description = Description {
    model_type: "roberta",
    class: "RobertaModel",
    prefix: "roberta.",
    positions: PositionRule::AfterPadding,
    token_types: TokenTypes::Embedded(1),
    types_pairs: false,
    pad_token_id: 1,
    module: roberta_module,
    head: HeadRule { drops_input: true, activation: DenseActivation::Tanh },
    word_activation: Some(Activation::Gelu),
    // As Mirror-BERT pools; β as in δ-SAM's text, ε as in R3F's.
    defaults: Defaults { pooling: Pooling::Cls, beta: 5.0, r3f_eps: 1e-3 },
    ..BERT
};

const XLM_ROBERTA: Description =
    Description { model_type: "xlm-roberta", class: "XLMRobertaModel", ..ROBERTA };

const CAMEMBERT: Description = Description { model_type: "camembert", class: "CamembertModel", ..ROBERTA };

/// Song et al. 2020. Pretrained as RoBERTa was, hence its β and ε; transformers' class has the id of the padding
/// token and the number of buckets built in.
const MPNET: Description = Description {
    model_type: "mpnet",
    class: "MPNetModel",
    prefix: "mpnet.",
    positions: PositionRule::After(1),
    relative_bias: Some(RelativeBias { buckets: 32, max_distance: 128 }),
    token_types: TokenTypes::None,
    module: mpnet_module,
    defaults: Defaults { pooling: Pooling::Mean, ..ROBERTA.defaults },
    ..ROBERTA
};

/// Sanh et al. 2019: a BERT of half the layers, without token types and pooler, under names of its own.
const DISTIL_BERT: Description = Description {
    model_type: "distilbert",
    class: "DistilBertModel",
    prefix: "distilbert.",
    keys: Keys {
        hidden_size: "dim",
        num_hidden_layers: "n_layers",
        num_attention_heads: "n_heads",
        intermediate_size: "hidden_dim",
        activation: "activation",
    },
    token_types: TokenTypes::None,
    types_pairs: false,
    layer_norm_eps: Some(1e-12),
    layers: "transformer.layer",
    module: distil_bert_module,
    head: HeadRule { drops_input: false, activation: DenseActivation::Relu },
    untrained: &[],
    ..BERT
};

fn bert_module(part: Part) -> &'static str {
    match part {
        Part::WordEmbeddings => "embeddings.word_embeddings",
        Part::PositionEmbeddings => "embeddings.position_embeddings",
        Part::TokenTypeEmbeddings => "embeddings.token_type_embeddings",
        Part::EmbeddingNorm => "embeddings.LayerNorm",
        Part::RelativeBias => "encoder.relative_attention_bias",
        Part::Query => "attention.self.query",
        Part::Key => "attention.self.key",
        Part::Value => "attention.self.value",
        Part::AttentionOutput => "attention.output.dense",
        Part::AttentionNorm => "attention.output.LayerNorm",
        Part::Intermediate => "intermediate.dense",
        Part::Output => "output.dense",
        Part::OutputNorm => "output.LayerNorm",
        Part::HeadDense => "pooler.dense",
        Part::HeadOutput => "classifier",
        Part::WordDense => "cls.predictions.transform.dense",
        Part::WordNorm => "cls.predictions.transform.LayerNorm",
        Part::WordDecoder => "cls.predictions",
    }
}

fn roberta_module(part: Part) -> &'static str {
    match part {
        Part::HeadDense => "classifier.dense",
        Part::HeadOutput => "classifier.out_proj",
        Part::WordDense => "lm_head.dense",
        Part::WordNorm => "lm_head.layer_norm",
        Part::WordDecoder => "lm_head",
        same => bert_module(same),
    }
}

fn mpnet_module(part: Part) -> &'static str {
    match part {
        Part::Query => "attention.attn.q",
        Part::Key => "attention.attn.k",
        Part::Value => "attention.attn.v",
        Part::AttentionOutput => "attention.attn.o",
        Part::AttentionNorm => "attention.LayerNorm",
        same => roberta_module(same),
    }
}

fn distil_bert_module(part: Part) -> &'static str {
    match part {
        Part::Query => "attention.q_lin",
        Part::Key => "attention.k_lin",
        Part::Value => "attention.v_lin",
        Part::AttentionOutput => "attention.out_lin",
        Part::AttentionNorm => "sa_layer_norm",
        Part::Intermediate => "ffn.lin1",
        Part::Output => "ffn.lin2",
        Part::OutputNorm => "output_layer_norm",
        Part::HeadDense => "pre_classifier",
        Part::WordDense => "vocab_transform",
        Part::WordNorm => "vocab_layer_norm",
        Part::WordDecoder => "vocab_projector",
        same => bert_module(same),
    }
}

impl Architecture {
    /// Every one that is known.
    pub const ALL: [Architecture; 6] = [
        Architecture::Bert,
        Architecture::Roberta,
        Architecture::XlmRoberta,
        Architecture::Camembert,
        Architecture::Mpnet,
        Architecture::DistilBert,
    ];

    /// What distinguishes it.
    pub fn description(self) -> &'static Description {
        match self {
            Architecture::Bert => &BERT,
            Architecture::Roberta => &ROBERTA,
            Architecture::XlmRoberta => &XLM_ROBERTA,
            Architecture::Camembert => &CAMEMBERT,
            Architecture::Mpnet => &MPNET,
            Architecture::DistilBert => &DISTIL_BERT,
        }
    }

    /// The architecture of a `model_type`, if it is known.
    pub fn parse(model_type: &str) -> Option<Self> {
        Architecture::ALL.into_iter().find(|known| known.description().model_type == model_type)
    }

    /// All that are known, for a sentence: "bert, roberta, … and distilbert".
    pub fn known() -> String {
        let names = Architecture::ALL.map(|known| known.description().model_type);
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        format!("{} and {last}", others.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_is_found_by_its_model_type_alone() {
        for known in Architecture::ALL {
            assert_eq!(Architecture::parse(known.description().model_type), Some(known));
        }
        assert_eq!(Architecture::parse("electra"), None);
        assert_eq!(Architecture::known(), "bert, roberta, xlm-roberta, camembert, mpnet and distilbert");
    }
}
