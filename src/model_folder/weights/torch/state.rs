//! From a pickled dictionary to where each of its tensors lies.

use std::collections::HashMap;
use std::rc::Rc;

use candle_core::DType;

use super::dtype_of;
use super::pickle::Value;

/// A tensor: a view of one of the archive's storages.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub dtype: DType,
    /// The storage's name in the archive.
    pub key: String,
    /// In elements of the storage.
    pub offset: u64,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// The part of a storage that a view reaches, in elements.
pub struct Place {
    pub start: u64,
    pub end: u64,
    /// Of the view itself: more than the storage has where a stride is 0.
    pub elements: u64,
}

impl Stored {
    /// `None` where the numbers are beyond any file.
    pub fn place(&self) -> Option<Place> {
        let mut elements = 1u64;
        let mut last = self.offset;
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            elements = elements.checked_mul(size as u64)?;
            last = last.checked_add((size as u64).saturating_sub(1).checked_mul(stride as u64)?)?;
        }
        let end = if elements == 0 { self.offset } else { last.checked_add(1)? };
        Some(Place { start: self.offset, end, elements })
    }

    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected *= size;
            fits
        })
    }
}

/// Under these, trainers save the dictionary of tensors beside their own state.
const NESTED: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// The tensors of a dictionary by name; other values are ignored. Where it has no tensors of its own, the dictionary
/// that it holds under a trainer's key is taken.
pub fn tensors(top: Value) -> Result<HashMap<String, Stored>, String> {
    let Value::Dict(entries) = top else { return Err("it is not a dictionary of tensors".to_owned()) };
    let own = of_entries(&entries);
    if !own.is_empty() {
        return Ok(own);
    }
    let named = entries.iter().filter_map(|(name, value)| match (name, value) {
        (Value::Text(name), Value::Nested(entries)) => Some((&**name, of_entries(entries))),
        _ => None,
    });
    let mut nested: Vec<_> = named.filter(|(name, of)| NESTED.contains(name) && !of.is_empty()).collect();
    match nested.len() {
        0 | 1 => Ok(nested.pop().map(|(_, tensors)| tensors).unwrap_or_default()),
        _ => Err(format!("it holds tensors both under {:?} and under {:?}", nested[0].0, nested[1].0)),
    }
}

fn of_entries(entries: &[(Value, Value)]) -> HashMap<String, Stored> {
    let named = entries.iter().filter_map(|(name, value)| match name {
        Value::Text(name) => Some((name.to_string(), tensor(value)?)),
        _ => None,
    });
    named.collect()
}

fn tensor(value: &Value) -> Option<Stored> {
    let Value::Reduced(call) = value else { return None };
    let (Value::Class(name), Value::Tuple(arguments)) = (&call.0, &call.1) else { return None };
    match &**name {
        "torch._utils _rebuild_tensor_v2" => rebuilt(arguments),
        // (data, requires_grad, hooks)
        "torch._utils _rebuild_parameter" => tensor(arguments.first()?),
        // (function, type, its arguments, state)
        "torch._tensor _rebuild_from_type_v2" => {
            let call = (arguments.first()?.clone(), arguments.get(2)?.clone());
            tensor(&Value::Reduced(Rc::new(call)))
        }
        _ => None,
    }
}

/// (storage, offset, shape, strides, requires_grad, hooks), the storage being a reference to
/// ("storage", class, key, device, elements).
fn rebuilt(arguments: &[Value]) -> Option<Stored> {
    let [Value::Persistent(storage), Value::Int(offset), shape, strides, ..] = arguments else { return None };
    let Value::Tuple(storage) = &**storage else { return None };
    let [_, Value::Class(class), Value::Text(key), ..] = &storage[..] else { return None };
    let (shape, strides) = (numbers(shape)?, numbers(strides)?);
    if shape.len() != strides.len() {
        return None;
    }
    let dtype = dtype_of(class)?;
    Some(Stored { dtype, key: key.to_string(), offset: u64::try_from(*offset).ok()?, shape, strides })
}

fn numbers(value: &Value) -> Option<Vec<usize>> {
    let Value::Tuple(parts) = value else { return None };
    let number = |part: &Value| match part {
        Value::Int(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    parts.iter().map(number).collect()
}
