//! What the tensors of an encoder are, whatever a checkpoint calls them.

/// What a tensor's module does, whatever a checkpoint calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    WordEmbeddings,
    PositionEmbeddings,
    TokenTypeEmbeddings,
    EmbeddingNorm,
    /// The table `[buckets, heads]` of [`RelativeBias`](super::RelativeBias), which all layers share.
    RelativeBias,
    Query,
    Key,
    Value,
    AttentionOutput,
    AttentionNorm,
    /// The feed-forward block's first matrix.
    Intermediate,
    /// Its second.
    Output,
    OutputNorm,
}

impl Part {
    /// Whether it is a LayerNorm.
    pub fn is_norm(self) -> bool {
        matches!(self, Part::EmbeddingNorm | Part::AttentionNorm | Part::OutputNorm)
    }

    /// Whether it is a table of embeddings, of which a batch uses some rows.
    pub fn is_embedding(self) -> bool {
        matches!(self, Part::WordEmbeddings | Part::PositionEmbeddings | Part::TokenTypeEmbeddings)
    }
}

/// Which of a module's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Weight,
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
