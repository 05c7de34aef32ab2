//! What the tensors of an encoder are, whatever a checkpoint calls them.

/// What a tensor's module does, whatever a checkpoint calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// `[vocab_size, hidden]`
    WordEmbeddings,
    /// `[max_position_embeddings, hidden]`
    PositionEmbeddings,
    /// `[type_vocab_size, hidden]`
    TokenTypeEmbeddings,
    /// The LayerNorm of the sum of embeddings.
    EmbeddingNorm,
    /// The table `[buckets, heads]` of [`RelativeBias`](super::RelativeBias), which all layers share.
    RelativeBias,
    /// Attention's queries, `[hidden, hidden]`.
    Query,
    /// Its keys.
    Key,
    /// Its values.
    Value,
    /// What heads are mixed by.
    AttentionOutput,
    /// The LayerNorm after attention.
    AttentionNorm,
    /// The feed-forward block's first matrix.
    Intermediate,
    /// Its second.
    Output,
    /// The LayerNorm after the feed-forward block.
    OutputNorm,
    /// The first layer of a head, `[hidden, hidden]`.
    HeadDense,
    /// A head's last layer, `[outputs, hidden]`.
    HeadOutput,
    /// The dense layer of a head that predicts words, `[hidden, hidden]`.
    WordDense,
    /// The LayerNorm behind it.
    WordNorm,
    /// The decoder of such a head, `[vocab_size]`: a bias alone, since its matrix is the word embeddings'.
    WordDecoder,
}

impl Part {
    /// Whether it is a LayerNorm.
    pub fn is_norm(self) -> bool {
        matches!(self, Part::EmbeddingNorm | Part::AttentionNorm | Part::OutputNorm | Part::WordNorm)
    }

    /// Whether it is a table of embeddings, of which a batch uses some rows.
    pub fn is_embedding(self) -> bool {
        matches!(self, Part::WordEmbeddings | Part::PositionEmbeddings | Part::TokenTypeEmbeddings)
    }
}

/// Which of a module's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The matrix, or the scale of a LayerNorm.
    Weight,
    /// What is added.
    Bias,
}

impl Kind {
    /// What its name ends with.
    pub fn suffix(self) -> &'static str {
        match self {
            Kind::Weight => "weight",
            Kind::Bias => "bias",
        }
    }
}

/// What the tensors of a group are and their shapes, in the order in which they lie.
pub(super) type Shapes = Vec<(Part, Kind, Vec<usize>)>;
