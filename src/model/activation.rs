//! The feed-forward block's activation.

/// `hidden_act` of a checkpoint's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x Φ(x), by erf.
    Gelu,
    /// Its tanh approximation.
    GeluTanh,
    /// x σ(1.702 x).
    QuickGelu,
    /// max(0, x).
    Relu,
    /// x σ(x).
    Silu,
}

/// transformers' names; some are of the same function, computed in other ways.
const NAMES: [(&str, Activation); 11] = [
    ("gelu", Activation::Gelu),
    ("gelu_python", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_accurate", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("quick_gelu", Activation::QuickGelu),
    ("relu", Activation::Relu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
];

impl Activation {
    /// The activation that `hidden_act` names, if it is known.
    pub fn parse(hidden_act: &str) -> Option<Self> {
        NAMES.into_iter().find(|(name, _)| *name == hidden_act).map(|(_, activation)| activation)
    }

    /// All names that are known.
    pub fn names() -> [&'static str; NAMES.len()] {
        NAMES.map(|(name, _)| name)
    }
}

/// The slope inside [`Activation::QuickGelu`]'s σ.
pub const QUICK_SLOPE: f32 = 1.702;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_configurations() {
        assert_eq!(Activation::parse("gelu"), Some(Activation::Gelu));
        assert_eq!(Activation::parse("gelu_new"), Some(Activation::GeluTanh));
        assert_eq!(Activation::parse("mish"), None);
    }
}
