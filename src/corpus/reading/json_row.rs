//! One line of JSON: the value of a field, found without holding the rest, and which fields there are.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What is at a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Absent,
    Null,
    Text(String),
    /// A number or a truth value, as it is written, and which of them it is, in words.
    Scalar(String, &'static str),
    /// Something else, in words.
    Other(&'static str),
}

/// The value at a field of a line; "" is the line itself.
///
/// # Errors
/// A line that is no JSON.
pub fn value_at(line: &str, field: &str) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(line);
    let value = At((!field.is_empty()).then_some(field)).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// The way to a value: names and numbers with dots between them; none where it is reached.
struct At<'a>(Option<&'a str>);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl At<'_> {
    fn here(&self, value: Value) -> Value {
        if self.0.is_none() { value } else { Value::Absent }
    }

    fn scalar(&self, value: impl fmt::Display, what: &'static str) -> Value {
        if self.0.is_none() { Value::Scalar(value.to_string(), what) } else { Value::Absent }
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(if self.0.is_none() { Value::Text(text.to_owned()) } else { Value::Absent })
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        // A null on the way to a field is a null of it.
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(self.scalar(value, "true or false"))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(self.scalar(value, "a number"))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(self.scalar(value, "a number"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(self.scalar(value, "a number"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = self.here(Value::Other("an object"));
        while let Some(key) = map.next_key::<String>()? {
            // A name may have a dot in it; of a key that is there twice the last one counts.
            let rest = self.0.and_then(|path| match path.strip_prefix(key.as_str())? {
                "" => Some(None),
                rest => rest.strip_prefix('.').map(Some),
            });
            match rest {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(rest) => match map.next_value_seed(At(rest))? {
                    Value::Absent => {}
                    value => found = value,
                },
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut found = self.here(Value::Other("a list"));
        let (number, rest) = match self.0.map(|path| path.split_once('.').unwrap_or((path, ""))) {
            Some((number, rest)) => (number.parse::<usize>().ok(), (!rest.is_empty()).then_some(rest)),
            None => (None, None),
        };
        for place in 0.. {
            if number == Some(place) {
                match values.next_element_seed(At(rest))? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if values.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

/// A field of a line, and whether it is text.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub is_text: bool,
}

/// Objects within objects that are looked into, and the fields that are listed.
const DEEPEST: usize = 4;
const MOST: usize = 64;

/// The fields of a line that is an object, those of objects in it with a dot before their names.
///
/// # Errors
/// A line that is no JSON object.
pub fn fields(line: &str) -> Result<Vec<Field>, serde_json::Error> {
    let mut found = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(line);
    reader.deserialize_map(Fields { found: &mut found, prefix: "", depth: 0 })?;
    Ok(found)
}

struct Fields<'a> {
    found: &'a mut Vec<Field>,
    prefix: &'a str,
    depth: usize,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let name = if self.prefix.is_empty() { key } else { format!("{}.{key}", self.prefix) };
            if self.found.len() >= MOST {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(FieldValue { found: self.found, name, depth: self.depth })?;
            }
        }
        Ok(())
    }
}

/// A value below a name: a field, or the object that more of them are in.
struct FieldValue<'a> {
    found: &'a mut Vec<Field>,
    name: String,
    depth: usize,
}

impl FieldValue<'_> {
    fn tell<E>(self, is_text: bool) -> Result<(), E> {
        self.found.push(Field { name: self.name, is_text });
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for FieldValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldValue<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.tell(true)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.tell(false)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.tell(false)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.tell(false)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.tell(false)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.tell(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        self.tell(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.depth + 1 >= DEEPEST {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return self.tell(false);
        }
        Fields { found: self.found, prefix: &self.name, depth: self.depth + 1 }.visit_map(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_path() {
        let line = r#"{"a": {"b": "x", "n": null, "l": ["p", {"q": "r"}]}, "a.c": "dotted", "n": 5, "t": true, "a2": "y"}"#;
        for (field, value) in [
            ("a.b", Value::Text("x".into())),
            ("a.c", Value::Text("dotted".into())),
            ("a.n", Value::Null),
            ("a.n.x", Value::Null),
            ("a.l.0", Value::Text("p".into())),
            ("a.l.1.q", Value::Text("r".into())),
            ("a.l.2", Value::Absent),
            ("a.l", Value::Absent),
            ("n", Value::Scalar("5".into(), "a number")),
            ("t", Value::Scalar("true".into(), "true or false")),
            ("a", Value::Other("an object")),
            ("z", Value::Absent),
            ("n.x", Value::Absent),
        ] {
            let expected = if field == "a.l" { Value::Other("a list") } else { value };
            assert_eq!(value_at(line, field).unwrap(), expected, "{field}");
        }
        assert_eq!(value_at("\"x\"", "").unwrap(), Value::Text("x".into()));
        assert!(value_at("{\"a\": 1} x", "a").is_err());
        let names: Vec<(String, bool)> =
            fields(line).unwrap().into_iter().map(|field| (field.name, field.is_text)).collect();
        let expected = [
            ("a.b", true),
            ("a.n", false),
            ("a.l", false),
            ("a.c", true),
            ("n", false),
            ("t", false),
            ("a2", true),
        ];
        assert_eq!(names, expected.map(|(name, is_text)| (name.to_owned(), is_text)));
        assert!(fields("[1]").is_err());
    }
}
