//! As much of Python's pickle as a file of named tensors needs, read as data.
//!
//! A pickle is a program for a small stack machine, and one of its instructions calls any function that it names. Here
//! it can name only those on [`ALLOWED`], and what they make is built here; nothing is ever called. Values lie in a
//! list and refer to one another by number, so that no depth of nesting can exhaust the stack.

use std::collections::BTreeMap;

/// What a pickle of weights may name: containers, tensors and storages, and what training scripts keep beside them (options,
/// numbers of NumPy, paths), which is passed over.
const ALLOWED: [&str; 47] = [
    ORDERED_DICT,
    DEFAULT_DICT,
    REBUILD,
    REBUILD_OLD,
    REBUILD_PARAMETER,
    NAMESPACE,
    "torch.FloatStorage",
    "torch.DoubleStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
    "torch.Size",
    "torch.device",
    "torch.float32",
    "torch.float64",
    "torch.float16",
    "torch.bfloat16",
    "torch.int64",
    "torch.int32",
    "torch.uint8",
    "torch.bool",
    "builtins.dict",
    "__builtin__.dict",
    "builtins.list",
    "__builtin__.list",
    "builtins.int",
    "__builtin__.int",
    "__builtin__.long",
    "builtins.float",
    "__builtin__.float",
    "builtins.set",
    "__builtin__.set",
    "_codecs.encode",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.Path",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
];
/// Of those, what makes something that no weights need.
const PASSED_OVER: [&str; 16] = [
    "torch.device",
    "torch.Size",
    "builtins.set",
    "__builtin__.set",
    "_codecs.encode",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.Path",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "builtins.list",
    "__builtin__.list",
];
const ORDERED_DICT: &str = "collections.OrderedDict";
const DEFAULT_DICT: &str = "collections.defaultdict";
const REBUILD: &str = "torch._utils._rebuild_tensor_v2";
const REBUILD_OLD: &str = "torch._utils._rebuild_tensor";
const REBUILD_PARAMETER: &str = "torch._utils._rebuild_parameter";
const NAMESPACE: &str = "argparse.Namespace";

/// Most sides of a tensor, and longest key of a storage. Both are copied wherever the pickle refers to them, which it can
/// do again and again in a few bytes.
const MAX_SIDES: usize = 8;
const MAX_KEY: usize = 64;

/// A value, or where it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float,
    At(usize),
}

/// What lies in the list.
#[derive(Debug)]
pub(super) enum Object {
    Text(String),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Global(String),
    /// The options of a program, and the dictionary of them once it has come.
    Namespace(Option<Value>),
    /// Key and type of values that lie outside the pickle, and how many there are.
    Storage {
        key: String,
        kind: String,
        count: usize,
    },
    /// Some values of a storage.
    Tensor {
        storage: usize,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    },
    /// What no weights need.
    Other,
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Unpickled {
    pub(super) root: Value,
    objects: Vec<Object>,
    /// Bytes it took.
    pub(super) length: usize,
}

impl Unpickled {
    pub(super) fn objects(&self) -> &[Object] {
        &self.objects
    }

    pub(super) fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::At(at) => self.objects.get(at),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.object(value) {
            Some(Object::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The entries of a dictionary, or of a namespace.
    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        let value = match self.object(value) {
            Some(Object::Namespace(inner)) => (*inner)?,
            _ => value,
        };
        match self.object(value) {
            Some(Object::Dict(entries)) => Some(entries),
            _ => None,
        }
    }
}

type Result<T> = std::result::Result<T, String>;

/// Reads the pickle that `bytes` begin with.
pub(super) fn unpickle(bytes: &[u8]) -> Result<Unpickled> {
    let mut machine = Machine {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        objects: Vec::new(),
    };
    let root = machine.run()?;
    Ok(Unpickled {
        root,
        objects: machine.objects,
        length: machine.at,
    })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
    objects: Vec<Object>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value> {
        loop {
            let [code] = self.take()?;
            match code {
                0x80 => drop(self.take::<1>()?),
                0x95 => drop(self.take::<8>()?),
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.since_mark()?),
                b'N' => self.stack.push(Value::None),
                0x88 | 0x89 => self.stack.push(Value::Bool(code == 0x88)),
                b'J' => {
                    let value = i32::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(value.into()));
                }
                b'K' => {
                    let [value] = self.take()?;
                    self.stack.push(Value::Int(value.into()));
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(value.into()));
                }
                0x8a => self.long()?,
                b'G' => {
                    self.take::<8>()?;
                    self.stack.push(Value::Float);
                }
                b'X' | b'T' | b'B' => {
                    let length = u32::from_le_bytes(self.take()?);
                    self.text(length as usize)?;
                }
                0x8c | b'U' | b'C' => {
                    let [length] = self.take()?;
                    self.text(length.into())?;
                }
                b')' => self.push(Object::Tuple(Vec::new())),
                b't' => {
                    let values = self.since_mark()?;
                    self.push(Object::Tuple(values));
                }
                0x85..=0x87 => {
                    let values = self.last(usize::from(code) - 0x84)?;
                    self.push(Object::Tuple(values));
                }
                b']' => self.push(Object::List(Vec::new())),
                b'a' => {
                    let value = self.pop()?;
                    self.append(vec![value])?;
                }
                b'e' => {
                    let values = self.since_mark()?;
                    self.append(values)?;
                }
                b'}' => self.push(Object::Dict(Vec::new())),
                b's' => {
                    let pair = self.last(2)?;
                    self.insert(&pair)?;
                }
                b'u' => {
                    let pairs = self.since_mark()?;
                    self.insert(&pairs)?;
                }
                b'q' => {
                    let [place] = self.take()?;
                    self.remember(place.into())?;
                }
                b'r' => {
                    let place = u32::from_le_bytes(self.take()?);
                    self.remember(place)?;
                }
                0x94 => self.remember(self.memo.len() as u32)?,
                b'h' => {
                    let [place] = self.take()?;
                    self.recall(place.into())?;
                }
                b'j' => {
                    let place = u32::from_le_bytes(self.take()?);
                    self.recall(place)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(format!("{module}.{name}"))?;
                }
                0x93 => {
                    let pair = self.last(2)?;
                    let full = format!("{}.{}", self.text_of(pair[0])?, self.text_of(pair[1])?);
                    self.global(full)?;
                }
                b'R' | 0x81 => {
                    let pair = self.last(2)?;
                    let made = self.make(pair[0], pair[1])?;
                    self.stack.push(made);
                }
                b'b' => {
                    let state = self.pop()?;
                    if let Ok(Object::Namespace(inner)) = self.top() {
                        *inner = Some(state);
                    }
                }
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id)?;
                    self.push(storage);
                }
                other => {
                    return Err(format!(
                        "its pickle has the instruction {other:#04x}, which weights do not need"
                    ));
                }
            }
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.first_chunk().ok_or("its pickle is cut short")?;
        self.at += N;
        Ok(*taken)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or("its pickle is cut short")?;
        self.at += length;
        Ok(taken)
    }

    fn text(&mut self, length: usize) -> Result<()> {
        let text = String::from_utf8_lossy(self.slice(length)?).into_owned();
        self.push(Object::Text(text));
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&b| b == b'\n');
        let line = self.slice(length.ok_or("its pickle is cut short")?)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| "its pickle names something that is no text".into())
    }

    /// A whole number of up to 16 bytes.
    fn long(&mut self) -> Result<()> {
        let [length] = self.take()?;
        let bytes = self.slice(length.into())?;
        if bytes.len() > 16 {
            return Err("its pickle has a number of more than 16 bytes".into());
        }
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut whole = [if negative { 0xff } else { 0 }; 16];
        whole[..bytes.len()].copy_from_slice(bytes);
        self.stack.push(Value::Int(i128::from_le_bytes(whole)));
        Ok(())
    }

    fn push(&mut self, object: Object) {
        self.stack.push(Value::At(self.objects.len()));
        self.objects.push(object);
    }

    fn pop(&mut self) -> Result<Value> {
        Ok(self.last(1)?[0])
    }

    /// The last values of the stack, none of which may lie below a mark.
    fn last(&mut self, count: usize) -> Result<Vec<Value>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(count);
        let start = start.filter(|&start| start >= floor);
        Ok(self
            .stack
            .split_off(start.ok_or("its pickle takes more than it has made")?))
    }

    fn since_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self
            .marks
            .pop()
            .ok_or("its pickle has no mark where it needs one")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn top(&mut self) -> Result<&mut Object> {
        match self.stack.last() {
            Some(&Value::At(at)) => Ok(&mut self.objects[at]),
            _ => Err("its pickle fills something that is no container".into()),
        }
    }

    fn append(&mut self, values: Vec<Value>) -> Result<()> {
        match self.top()? {
            Object::List(list) => list.extend(values),
            _ => return Err("its pickle appends to something that is no list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, pairs: &[Value]) -> Result<()> {
        match self.top()? {
            Object::Dict(dict) if pairs.len().is_multiple_of(2) => {
                dict.extend(pairs.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err("its pickle sets items of something that is no dictionary".into()),
        }
        Ok(())
    }

    fn remember(&mut self, place: u32) -> Result<()> {
        let value = *self.stack.last().ok_or("its pickle remembers nothing")?;
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<()> {
        let value = self.memo.get(&place);
        self.stack
            .push(*value.ok_or("its pickle recalls what it never had")?);
        Ok(())
    }

    fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::At(at) => self.objects.get(at),
            _ => None,
        }
    }

    fn text_of(&self, value: Value) -> Result<&str> {
        match self.object(value) {
            Some(Object::Text(text)) => Ok(text),
            _ => Err("its pickle has something else where a text belongs".into()),
        }
    }

    fn sizes(&self, value: Value) -> Result<Vec<usize>> {
        let size = |v: &Value| match v {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        };
        let sizes = match self.object(value) {
            Some(Object::Tuple(all)) if all.len() <= MAX_SIDES => all.iter().map(size).collect(),
            _ => None,
        };
        sizes.ok_or_else(|| format!("a tensor's shape is no list of up to {MAX_SIDES} sizes"))
    }

    fn global(&mut self, full: String) -> Result<()> {
        if !ALLOWED.contains(&full.as_str()) {
            return Err(format!(
                "its pickle names {full}, which weights do not need; nothing of it was run. If you trust the file, load \
                 it in Python and save its tensors as safetensors"
            ));
        }
        self.push(Object::Global(full));
        Ok(())
    }

    /// What calling `function` with `arguments` stands for.
    fn make(&mut self, function: Value, arguments: Value) -> Result<Value> {
        let unfit = || "its pickle calls something in a way that weights do not need".to_owned();
        let Some(Object::Global(name)) = self.object(function) else {
            return Err(unfit());
        };
        let Some(Object::Tuple(arguments)) = self.object(arguments) else {
            return Err(unfit());
        };
        let object = match (name.as_str(), &arguments[..]) {
            (ORDERED_DICT, []) | (DEFAULT_DICT, _) => Object::Dict(Vec::new()),
            (NAMESPACE, _) => Object::Namespace(None),
            (name, _) if PASSED_OVER.contains(&name) => Object::Other,
            (REBUILD_PARAMETER, [tensor, ..]) => return Ok(*tensor),
            (
                REBUILD | REBUILD_OLD,
                &[Value::At(storage), Value::Int(offset), shape, strides, ..],
            ) => Object::Tensor {
                storage,
                offset: usize::try_from(offset).map_err(|_| unfit())?,
                shape: self.sizes(shape)?,
                strides: self.sizes(strides)?,
            },
            _ => return Err(unfit()),
        };
        self.objects.push(object);
        Ok(Value::At(self.objects.len() - 1))
    }

    /// The storage of an identifier `("storage", type, key, device, count)`; older files have a sixth entry, for views.
    fn storage(&self, id: Value) -> Result<Object> {
        let unfit = || "its pickle refers to something that is no storage of tensors".to_owned();
        let Some(Object::Tuple(id)) = self.object(id) else {
            return Err(unfit());
        };
        let (&[tag, kind, key, _, Value::Int(count)]
        | &[tag, kind, key, _, Value::Int(count), Value::None]) = &id[..]
        else {
            return Err(unfit());
        };
        let (Some(Object::Global(kind)), true) =
            (self.object(kind), self.text_of(tag)? == "storage")
        else {
            return Err(unfit());
        };
        let key = self.text_of(key)?;
        if key.len() > MAX_KEY {
            return Err(unfit());
        }
        Ok(Object::Storage {
            key: key.to_owned(),
            kind: kind.clone(),
            count: usize::try_from(count).map_err(|_| unfit())?,
        })
    }
}
