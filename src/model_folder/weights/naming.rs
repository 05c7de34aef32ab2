//! By which names a file's tensors are the encoder's: whatever wrapped the model when it was saved (a head, a
//! trainer, sentence-transformers) put its own name before all of them.

use std::collections::BTreeSet;

use crate::encoder::layout::TensorSpec;
use crate::encoder::{Architecture, Layout};
use crate::model::{Kind, Part};

/// The name of the tensor that every encoder has; what stands before it is the prefix.
fn anchor(layout: &Layout) -> &str {
    layout.part(0, Part::WordEmbeddings, Kind::Weight).map_or("", |spec| &spec.name)
}

/// Prefixes that transformers itself takes off each name on its own, so that a file may mix them.
fn of_heads() -> impl Iterator<Item = &'static str> {
    [""].into_iter().chain(Architecture::ALL.map(|known| known.description().prefix))
}

/// Names without a place that are reported of a file.
const MOST_REPORTED: usize = 3;

/// Prefixes that are compared to report what is missing; an honest file has a few.
const MOST_COMPARED: usize = 16;

/// What stands before the encoder's names in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Naming {
    prefixes: Vec<String>,
}

/// Why a file's names are not an encoder's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// A tensor that is not there, and a few of those that are there and have no place.
    Missing { name: String, others: Vec<String> },
    /// All of the encoder's tensors are there under each of two prefixes.
    Several([String; 2]),
}

impl Naming {
    /// The one prefix under which all tensors of the layout are among `present`.
    pub fn of(layout: &Layout, present: &BTreeSet<&str>) -> Result<Self, Misfit> {
        let prefixes = present.iter().filter_map(|name| name.strip_suffix(anchor(layout)));
        let candidates: Vec<Naming> = prefixes
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
            .map(|prefix| Naming { prefixes: vec![prefix.to_owned()] })
            .collect();
        let mut complete = candidates.iter().filter(|naming| naming.missing(layout, present).is_none());
        match (complete.next(), complete.next()) {
            (Some(one), None) => Ok(Naming { prefixes: one.prefixes.clone() }),
            (Some(one), Some(other)) => Err(Misfit::Several([one, other].map(|n| n.prefixes[0].clone()))),
            (None, _) => Naming::mixed(layout, present).ok_or_else(|| misfit(layout, present, &candidates)),
        }
    }

    fn mixed(layout: &Layout, present: &BTreeSet<&str>) -> Option<Self> {
        let naming = Naming { prefixes: of_heads().map(str::to_owned).collect() };
        naming.missing(layout, present).is_none().then_some(naming)
    }

    /// The name among `present` of the encoder's tensor: as it is called, or as LayerNorm's once were.
    pub fn find_tensor(&self, spec: &TensorSpec, present: impl Fn(&str) -> bool) -> Option<String> {
        self.find(&spec.name, &present).or_else(|| self.find(&spec.old_name()?, present))
    }

    /// The name among `present` of what is called `name` behind a prefix.
    pub fn find(&self, name: &str, present: impl Fn(&str) -> bool) -> Option<String> {
        self.prefixes.iter().map(|prefix| format!("{prefix}{name}")).find(|name| present(name))
    }

    /// The first tensor of the layout that is not there.
    fn missing(&self, layout: &Layout, present: &BTreeSet<&str>) -> Option<String> {
        let mut specs = layout.tensors().map(|(_, spec)| spec);
        let missing = specs.find(|spec| self.find_tensor(spec, |found| present.contains(found)).is_none())?;
        Some(format!("{}{}", self.prefixes[0], missing.name))
    }
}

fn misfit(layout: &Layout, present: &BTreeSet<&str>, candidates: &[Naming]) -> Misfit {
    let known = |naming: &Naming| -> BTreeSet<String> {
        layout.tensors().filter_map(|(_, spec)| naming.find_tensor(spec, |n| present.contains(n))).collect()
    };
    let nearest = candidates.iter().take(MOST_COMPARED).max_by_key(|naming| known(naming).len());
    let (name, used) = match nearest {
        Some(naming) => (naming.missing(layout, present), known(naming)),
        None => (None, BTreeSet::new()),
    };
    let others = present.iter().filter(|name| !used.contains(**name));
    Misfit::Missing {
        name: name.unwrap_or_else(|| anchor(layout).to_owned()),
        others: others.take(MOST_REPORTED).map(|name| (*name).to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::layout::Dimensions;

    fn layout() -> Layout {
        layout_of(Architecture::Bert)
    }

    fn layout_of(architecture: Architecture) -> Layout {
        let dimensions = Dimensions {
            vocab_size: 3,
            max_position_embeddings: 2,
            type_vocab_size: 1,
            hidden_size: 2,
            intermediate_size: 3,
            num_hidden_layers: 2,
            relative_bias: [0, 1],
        };
        Layout::new(architecture, &dimensions)
    }

    const ANCHOR: &str = "embeddings.word_embeddings.weight";

    /// LayerNorm's tensors as TensorFlow called them.
    fn old_form(name: &str) -> String {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    }

    fn named(rename: impl Fn(&str) -> String) -> BTreeSet<String> {
        layout().tensors().map(|(_, spec)| rename(&spec.name)).collect()
    }

    fn naming(names: &BTreeSet<String>) -> Result<Naming, Misfit> {
        Naming::of(&layout(), &names.iter().map(String::as_str).collect())
    }

    #[test]
    fn any_single_prefix_is_found() {
        for prefix in
            ["", "bert.", "module.", "0.auto_model.", "encoder.", "model.", "bert.bert.", "_orig_mod."]
        {
            let mut names = named(|name| format!("{prefix}{}", old_form(name)));
            names.extend(["cls.predictions.bias".to_owned(), "other_embeddings.weight".to_owned()]);
            assert_eq!(naming(&names), Ok(Naming { prefixes: vec![prefix.to_owned()] }));
        }
        // transformers takes the prefix of a head off each name on its own.
        let mixed =
            named(|name| if name.starts_with("encoder") { format!("bert.{name}") } else { name.into() });
        let naming = naming(&mixed).unwrap();
        let name = "encoder.layer.0.output.LayerNorm.bias";
        assert_eq!(naming.find(name, |n| mixed.contains(n)), Some(format!("bert.{name}")));
    }

    #[test]
    fn every_architecture_s_own_prefix_may_be_on_some_names() {
        for architecture in Architecture::ALL {
            let (layout, prefix) = (layout_of(architecture), architecture.description().prefix);
            let mixed: BTreeSet<String> = layout
                .tensors()
                .map(|(group, spec)| match group {
                    0 => spec.old_name().unwrap_or_else(|| spec.name.clone()),
                    _ => format!("{prefix}{}", spec.name),
                })
                .collect();
            let naming = Naming::of(&layout, &mixed.iter().map(String::as_str).collect()).unwrap();
            for (_, spec) in layout.tensors() {
                assert!(naming.find_tensor(spec, |name| mixed.contains(name)).is_some(), "{}", spec.name);
            }
        }
    }

    #[test]
    fn two_encoders_are_not_one() {
        let names = &named(|name| format!("query.{name}")) | &named(|name| format!("passage.{name}"));
        assert_eq!(naming(&names), Err(Misfit::Several(["passage.".into(), "query.".into()])));
        // Half of another one is no second.
        let mut names = names;
        names.remove("query.encoder.layer.1.output.dense.bias");
        assert_eq!(naming(&names), Ok(Naming { prefixes: vec!["passage.".into()] }));
    }

    #[test]
    fn what_is_missing_is_looked_for_where_most_is() {
        let mut names = named(|name| format!("model.{name}"));
        names.remove("model.encoder.layer.1.output.dense.bias");
        names.insert("model.encoder.layer.1.output.dense.bais".into());
        let missing = |name: &str, others: &[&str]| {
            let others = others.iter().map(|&name| name.to_owned()).collect();
            Err(Misfit::Missing { name: name.into(), others })
        };
        let expected =
            missing("model.encoder.layer.1.output.dense.bias", &["model.encoder.layer.1.output.dense.bais"]);
        assert_eq!(naming(&names), expected);
        let names = ["a", "b", "c", "d"].map(str::to_owned).into();
        assert_eq!(naming(&names), missing(ANCHOR, &["a", "b", "c"]));
        // A name that only ends alike is no prefix.
        let names = named(|name| format!("x_{name}"));
        assert!(matches!(naming(&names), Err(Misfit::Missing { name, .. }) if name == ANCHOR));
    }
}
