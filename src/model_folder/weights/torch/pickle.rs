//! The operations of a pickle that a dictionary of tensors needs, executing nothing
//! (<https://github.com/python/cpython/blob/main/Lib/pickletools.py> describes all).

use std::collections::HashMap;
use std::rc::Rc;

/// What a pickle makes. Cloning is cheap.
#[derive(Clone, Debug)]
pub enum Value {
    Int(i64),
    Text(Rc<str>),
    /// `module name`
    Class(Rc<str>),
    Tuple(Rc<[Value]>),
    /// What a class was called with; nothing is called.
    Reduced(Rc<(Value, Value)>),
    /// The reference to something outside of the pickle, such as a tensor's values.
    Persistent(Rc<Value>),
    /// A dictionary that was put into something else.
    Nested(Rc<[(Value, Value)]>),
    /// These two are filled while they lie on the stack; remembered, they become opaque, and so does a list
    /// that is put into something else.
    Dict(Vec<(Value, Value)>),
    List(Vec<Value>),
    Mark,
    /// None, a number with a fraction, or something too deep to matter.
    Opaque,
}

/// Deeper than a tensor's description goes. Deeper values are dropped at once: dropping one later takes a stack as
/// deep as it is.
const DEEPEST: usize = 12;

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle {
    pub value: Value,
    /// All references to something outside of it, in order.
    pub references: Vec<Rc<Value>>,
    /// Bytes that it has.
    pub len: usize,
}

/// Reads the pickle that `bytes` begin with; the error says what is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine =
        Machine { bytes, at: 0, stack: Vec::new(), memo: HashMap::new(), references: Vec::new() };
    while machine.step()? {}
    Ok(Pickle { value: machine.pop()?, references: machine.references, len: machine.at })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Values with their depth.
    stack: Vec<(Value, usize)>,
    memo: HashMap<u32, (Value, usize)>,
    references: Vec<Rc<Value>>,
}

impl<'a> Machine<'a> {
    /// One operation; false at the pickle's end.
    fn step(&mut self) -> Result<bool, String> {
        match self.byte()? {
            b'.' => return Ok(false),
            // PROTO, FRAME
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.push(Value::Mark, 0),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'N' | 0x88 | 0x89 => self.push(Value::Opaque, 0),
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => self.integer(4)?,
            0x8a => self.long()?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Opaque, 0);
            }
            b'X' => self.text(4)?,
            0x8c => self.text(1)?,
            b'c' => self.global()?,
            0x93 => self.stack_global()?,
            b'q' => self.put(1)?,
            b'r' => self.put(4)?,
            0x94 => self.memoize(self.memo.len() as u32)?,
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            b')' => self.push(Value::Tuple(Rc::new([])), 0),
            0x85 => self.tuple_of(1)?,
            0x86 => self.tuple_of(2)?,
            0x87 => self.tuple_of(3)?,
            b't' => {
                let parts = self.pop_to_mark()?;
                self.tuple(parts);
            }
            b']' => self.push(Value::List(Vec::new()), 0),
            b'}' => self.push(Value::Dict(Vec::new()), 0),
            b'a' => {
                let part = self.pop_part()?;
                self.append(vec![part])?;
            }
            b'e' => {
                let parts = self.pop_to_mark()?;
                self.append(parts)?;
            }
            b's' => {
                let (value, key) = (self.pop_part()?, self.pop_part()?);
                self.fill(vec![key, value])?;
            }
            b'u' => {
                let parts = self.pop_to_mark()?;
                self.fill(parts)?;
            }
            // BUILD: a state beside the value, such as an OrderedDict's metadata.
            b'b' => drop(self.pop()?),
            b'R' | 0x81 => self.reduce()?,
            b'Q' => {
                let (value, depth) = self.pop_part()?;
                let value = Rc::new(value);
                self.references.push(value.clone());
                self.push(Value::Persistent(value), depth + 1);
            }
            other => return Err(format!("it uses the operation {other:#04x}, which no tensors need")),
        }
        Ok(true)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..len)).ok_or("it ends early")?;
        self.at += len;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned number of `len` bytes, at most 4.
    fn number(&mut self, len: usize) -> Result<u32, String> {
        Ok(self.take(len)?.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    fn push(&mut self, value: Value, depth: usize) {
        let value = if depth > DEEPEST { Value::Opaque } else { value };
        self.stack.push((value, depth.min(DEEPEST + 1)));
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().map(|(value, _)| value).ok_or_else(|| "it takes from an empty stack".to_owned())
    }

    /// A value to be put into another one.
    fn pop_part(&mut self) -> Result<(Value, usize), String> {
        let (value, depth) = self.stack.pop().ok_or("it takes from an empty stack")?;
        Ok(as_part(value, depth))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<(Value, usize)>, String> {
        let mark = self.stack.iter().rposition(|(value, _)| matches!(value, Value::Mark));
        let parts = self.stack.split_off(mark.ok_or("it takes back to a mark that is not there")? + 1);
        self.stack.pop();
        Ok(parts.into_iter().map(|(value, depth)| as_part(value, depth)).collect())
    }

    fn integer(&mut self, len: usize) -> Result<(), String> {
        let number = self.number(len)?;
        // Four bytes have a sign, fewer have none.
        self.push(Value::Int(if len == 4 { i64::from(number as i32) } else { i64::from(number) }), 0);
        Ok(())
    }

    fn long(&mut self) -> Result<(), String> {
        let len = usize::from(self.byte()?);
        let bytes = self.take(len)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut whole = [if negative { 0xff } else { 0 }; 8];
        let value = match whole.get_mut(..len) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(whole))
            }
            None => Value::Opaque,
        };
        self.push(value, 0);
        Ok(())
    }

    fn text(&mut self, length_bytes: usize) -> Result<(), String> {
        let len = self.number(length_bytes)? as usize;
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| "a text in it is not UTF-8")?;
        self.push(Value::Text(text.into()), 0);
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|&byte| byte == b'\n').ok_or("it ends early")?;
        self.at += len + 1;
        Ok(String::from_utf8_lossy(&rest[..len]).into_owned())
    }

    fn global(&mut self) -> Result<(), String> {
        let name = format!("{} {}", self.line()?, self.line()?);
        self.push(Value::Class(name.into()), 0);
        Ok(())
    }

    fn stack_global(&mut self) -> Result<(), String> {
        match (self.pop()?, self.pop()?) {
            (Value::Text(name), Value::Text(module)) => {
                self.push(Value::Class(format!("{module} {name}").into()), 0);
                Ok(())
            }
            _ => Err("a class in it has no name".to_owned()),
        }
    }

    fn put(&mut self, len: usize) -> Result<(), String> {
        let place = self.number(len)?;
        self.memoize(place)
    }

    fn memoize(&mut self, place: u32) -> Result<(), String> {
        let (value, depth) = self.stack.last().ok_or("it remembers nothing")?;
        // A dictionary is remembered before it is filled, and never asked for again.
        let kept = match value {
            Value::Dict(_) | Value::List(_) => (Value::Opaque, 0),
            value => (value.clone(), *depth),
        };
        self.memo.insert(place, kept);
        Ok(())
    }

    fn get(&mut self, len: usize) -> Result<(), String> {
        let place = self.number(len)?;
        let kept = self.memo.get(&place).ok_or("it refers to a value that it did not remember")?.clone();
        self.stack.push(kept);
        Ok(())
    }

    fn tuple_of(&mut self, len: usize) -> Result<(), String> {
        let start = self.stack.len().checked_sub(len).ok_or("it takes from an empty stack")?;
        let parts = self.stack.split_off(start);
        self.tuple(parts.into_iter().map(|(value, depth)| as_part(value, depth)).collect());
        Ok(())
    }

    fn tuple(&mut self, parts: Vec<(Value, usize)>) {
        let depth = 1 + parts.iter().map(|&(_, depth)| depth).max().unwrap_or(0);
        self.push(Value::Tuple(parts.into_iter().map(|(value, _)| value).collect()), depth);
    }

    fn append(&mut self, parts: Vec<(Value, usize)>) -> Result<(), String> {
        let Some((top, depth)) = self.stack.last_mut() else { return Err("it fills nothing".to_owned()) };
        if let Value::List(values) = top {
            for (value, below) in parts {
                *depth = (*depth).max(1 + below);
                values.push(value);
            }
        }
        Ok(())
    }

    /// Puts keys and values in turn into the dictionary on top.
    fn fill(&mut self, parts: Vec<(Value, usize)>) -> Result<(), String> {
        let Some((top, depth)) = self.stack.last_mut() else { return Err("it fills nothing".to_owned()) };
        if !parts.len().is_multiple_of(2) {
            return Err("a dictionary in it has a key without a value".to_owned());
        }
        let Value::Dict(entries) = top else { return Ok(()) };
        let mut parts = parts.into_iter();
        while let (Some((key, below)), Some((value, beside))) = (parts.next(), parts.next()) {
            *depth = (*depth).max(1 + below.max(beside));
            entries.push((key, value));
        }
        Ok(())
    }

    fn reduce(&mut self) -> Result<(), String> {
        let ((arguments, below), (callable, beside)) = (self.pop_part()?, self.pop_part()?);
        match &callable {
            Value::Class(name) if &**name == "collections OrderedDict" => {
                self.push(Value::Dict(Vec::new()), 0);
            }
            _ => self.push(Value::Reduced(Rc::new((callable, arguments))), 1 + below.max(beside)),
        }
        Ok(())
    }
}

/// A value as a part of another one: what is filled step by step is full by then. A dictionary may be the one of
/// tensors, beside whatever else a trainer saves; no tensor has a list in its description.
fn as_part(value: Value, depth: usize) -> (Value, usize) {
    match value {
        Value::Dict(entries) if depth < DEEPEST => (Value::Nested(entries.into()), depth + 1),
        Value::Dict(_) | Value::List(_) | Value::Mark => (Value::Opaque, 0),
        value => (value, depth),
    }
}
