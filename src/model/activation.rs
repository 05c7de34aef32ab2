//! The feed-forward block's activation.

/// `hidden_act` of a checkpoint's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x Φ(x), by erf: `gelu`.
    Gelu,
    /// Its tanh approximation: `gelu_new`, `gelu_pytorch_tanh`.
    GeluTanh,
    Relu,
    /// x σ(x): `silu`, `swish`.
    Silu,
}

impl Activation {
    /// The activation that `hidden_act` names, if it is known.
    pub fn parse(hidden_act: &str) -> Option<Self> {
        match hidden_act {
            "gelu" => Some(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Some(Activation::GeluTanh),
            "relu" => Some(Activation::Relu),
            "silu" | "swish" => Some(Activation::Silu),
            _ => None,
        }
    }
}

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
