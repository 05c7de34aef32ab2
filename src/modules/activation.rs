//! The activations of a Dense module.

/// The activations of a Dense module that are computed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenseActivation {
    /// x.
    Identity,
    /// tanh(x).
    Tanh,
    /// max(0, x).
    Relu,
    /// x·Φ(x), by the error function.
    Gelu,
    /// 1 / (1 + exp(−x)).
    Sigmoid,
    /// x / (1 + exp(−x)).
    Silu,
}

impl DenseActivation {
    /// All of them.
    pub const ALL: [DenseActivation; 6] = [
        DenseActivation::Identity,
        DenseActivation::Tanh,
        DenseActivation::Relu,
        DenseActivation::Gelu,
        DenseActivation::Sigmoid,
        DenseActivation::Silu,
    ];

    /// Its class by the full name under which torch has it.
    pub fn path(self) -> String {
        let module = if self == DenseActivation::Identity { "linear" } else { "activation" };
        format!("torch.nn.modules.{module}.{}", self.class())
    }

    /// Its class in torch.
    pub fn class(self) -> &'static str {
        match self {
            DenseActivation::Identity => "Identity",
            DenseActivation::Tanh => "Tanh",
            DenseActivation::Relu => "ReLU",
            DenseActivation::Gelu => "GELU",
            DenseActivation::Sigmoid => "Sigmoid",
            DenseActivation::Silu => "SiLU",
        }
    }
}
