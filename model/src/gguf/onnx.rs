//! Writes an ONNX graph and, beside it, the file with its weights.
pub(crate) mod proto;

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use super::GgufError;
use proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ShapeProto,
    StringStringEntryProto, TensorProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// Who writes these graphs.
pub(crate) const PRODUCER: &str = "inkling";
/// The domain of ONNX Runtime's own operators.
const MS: &str = "com.microsoft";
/// Weights of at least this many bytes lie in the file beside the graph.
const FAR: usize = 1024;
/// Where weights in that file begin: a page, so that they can be mapped into memory.
const PAGE: u64 = 4096;

/// Type of a tensor's numbers, by ONNX's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit float.
    Float = 1,
    /// Byte.
    Byte = 2,
    /// 32-bit integer.
    Int32 = 6,
    /// 64-bit integer.
    Int64 = 7,
    /// Yes or no.
    Bool = 9,
    /// 16-bit float.
    Float16 = 10,
}

/// One side of a graph's inputs' and outputs' shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side<'a> {
    /// Always this long.
    Fixed(usize),
    /// As long as the caller likes, by a name.
    Free(&'a str),
}

/// A node on its way into the graph.
#[derive(Debug, Clone)]
pub struct Node(NodeProto);

impl Node {
    /// An operator of ONNX itself.
    #[must_use]
    pub fn new(operator: &str, inputs: &[&str]) -> Self {
        Self(NodeProto {
            op_type: operator.to_owned(),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            ..NodeProto::default()
        })
    }

    /// An operator of ONNX Runtime's.
    #[must_use]
    pub fn ms(operator: &str, inputs: &[&str]) -> Self {
        let mut node = Self::new(operator, inputs);
        node.0.domain = MS.to_owned();
        node
    }

    /// Names it.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }

    /// Names its outputs; without this there is one, named after the node.
    #[must_use]
    pub fn gives(mut self, outputs: &[&str]) -> Self {
        self.0.output = outputs.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// An attribute that is a whole number.
    #[must_use]
    pub fn int(mut self, name: &str, value: i64) -> Self {
        self.0.attribute.push(AttributeProto {
            name: name.to_owned(),
            i: Some(value),
            kind: 2,
            ..AttributeProto::default()
        });
        self
    }

    /// An attribute that is a list of whole numbers.
    #[must_use]
    pub fn ints(mut self, name: &str, values: &[i64]) -> Self {
        self.0.attribute.push(AttributeProto {
            name: name.to_owned(),
            ints: values.to_vec(),
            kind: 7,
            ..AttributeProto::default()
        });
        self
    }

    /// An attribute that is a float.
    #[must_use]
    pub fn float(mut self, name: &str, value: f32) -> Self {
        self.0.attribute.push(AttributeProto {
            name: name.to_owned(),
            f: Some(value),
            kind: 1,
            ..AttributeProto::default()
        });
        self
    }
}

/// A graph on its way to the disk. Weights are written as they come and not kept.
#[derive(Debug)]
pub struct GraphWriter {
    graph: GraphProto,
    names: HashSet<String>,
    file: PathBuf,
    data: BufWriter<File>,
    at: u64,
}

/// A weight that is being written.
#[derive(Debug)]
#[must_use = "a weight counts when it is ended"]
pub struct Weight {
    tensor: TensorProto,
    start: u64,
}

impl GraphWriter {
    /// Begins a graph in a new file, with its weights in another named like it and `_data`.
    ///
    /// # Errors
    /// [`GgufError::NotWritten`].
    pub fn create(file: &Path) -> Result<Self, GgufError> {
        let data = data_of(file);
        let opened = File::create(&data).map_err(|source| GgufError::NotWritten { file: data, source })?;
        Ok(Self {
            graph: GraphProto {
                name: "decoder".into(),
                ..GraphProto::default()
            },
            names: HashSet::new(),
            file: file.to_path_buf(),
            data: BufWriter::with_capacity(1 << 20, opened),
            at: 0,
        })
    }

    /// Takes a name; `false` if it is taken.
    pub fn claim(&mut self, name: &str) -> bool {
        self.names.insert(name.to_owned())
    }

    /// Begins a weight in the file beside the graph.
    ///
    /// # Errors
    /// [`GgufError::NotWritten`].
    pub fn begin(&mut self, name: &str, element: Element, sides: &[usize]) -> Result<Weight, GgufError> {
        let gap = usize::try_from(self.at.next_multiple_of(PAGE) - self.at).unwrap_or(0);
        self.put(&vec![0; gap])?;
        Ok(Weight {
            tensor: tensor(name, element, sides),
            start: self.at,
        })
    }

    /// Adds bytes to the weight that was begun last.
    ///
    /// # Errors
    /// [`GgufError::NotWritten`].
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), GgufError> {
        self.at += bytes.len() as u64;
        self.data
            .write_all(bytes)
            .map_err(|source| GgufError::NotWritten {
                file: data_of(&self.file),
                source,
            })
    }

    /// Ends a weight.
    pub fn end(&mut self, weight: Weight) {
        let Weight { mut tensor, start } = weight;
        let location = data_of(&self.file)
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: key.to_owned(),
            value,
        };
        tensor.external_data = vec![
            entry("location", location),
            entry("offset", start.to_string()),
            entry("length", (self.at - start).to_string()),
        ];
        tensor.data_location = Some(1);
        self.graph.initializer.push(tensor);
    }

    /// A weight that is at hand, near or far by its size; once per name.
    ///
    /// # Errors
    /// [`GgufError::NotWritten`].
    pub fn weight(
        &mut self,
        name: &str,
        element: Element,
        sides: &[usize],
        bytes: &[u8],
    ) -> Result<(), GgufError> {
        if !self.claim(name) {
            return Ok(());
        }
        if bytes.len() >= FAR {
            let weight = self.begin(name, element, sides)?;
            self.put(bytes)?;
            self.end(weight);
        } else {
            self.graph.initializer.push(TensorProto {
                raw_data: Some(bytes.to_vec()),
                ..tensor(name, element, sides)
            });
        }
        Ok(())
    }

    /// The same for floats.
    ///
    /// # Errors
    /// [`GgufError::NotWritten`].
    pub fn floats(&mut self, name: &str, sides: &[usize], numbers: &[f32]) -> Result<(), GgufError> {
        self.weight(name, Element::Float, sides, &bytes_of(numbers))
    }

    /// Floats that are stored in 16 bits.
    ///
    /// # Errors
    /// [`GgufError::NotWritten`].
    pub fn halves(&mut self, name: &str, sides: &[usize], numbers: &[f32]) -> Result<(), GgufError> {
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| half::f16::from_f32(*number).to_le_bytes())
            .collect();
        self.weight(name, Element::Float16, sides, &bytes)
    }

    /// A list of whole numbers, shared by everybody who needs the same. Returns its name.
    pub fn list(&mut self, numbers: &[i64]) -> String {
        let digits: Vec<String> = numbers.iter().map(i64::to_string).collect();
        let name = format!("list_{}", digits.join("_").replace('-', "m"));
        self.near(
            name,
            Element::Int64,
            &[numbers.len()],
            numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
        )
    }

    /// A whole number without a shape. Returns its name.
    pub fn number(&mut self, number: i64) -> String {
        let name = format!("number_{number}").replace('-', "m");
        self.near(name, Element::Int64, &[], number.to_le_bytes().to_vec())
    }

    /// A float without a shape. Returns its name.
    pub fn scalar(&mut self, number: f32) -> String {
        let name = format!("scalar_{number}").replace('-', "m").replace('.', "p");
        self.near(name, Element::Float, &[], number.to_le_bytes().to_vec())
    }

    fn near(&mut self, name: String, element: Element, sides: &[usize], bytes: Vec<u8>) -> String {
        if self.claim(&name) {
            self.graph.initializer.push(TensorProto {
                raw_data: Some(bytes),
                ..tensor(&name, element, sides)
            });
        }
        name
    }

    /// Adds a node; returns the name of its first output.
    pub fn node(&mut self, node: Node) -> String {
        let Node(mut node) = node;
        if node.name.is_empty() {
            node.name = format!("{}_{}", node.op_type, self.graph.node.len());
        }
        if node.output.is_empty() {
            node.output.push(format!("{}_out", node.name));
        }
        let first = node.output.first().cloned().unwrap_or_default();
        self.graph.node.push(node);
        first
    }

    /// Adds an input of the whole graph.
    pub fn input(&mut self, name: &str, element: Element, sides: &[Side<'_>]) {
        self.graph.input.push(value_info(name, element, sides));
    }

    /// Adds an output of the whole graph.
    pub fn output(&mut self, name: &str, element: Element, sides: &[Side<'_>]) {
        self.graph.output.push(value_info(name, element, sides));
    }

    /// Writes the graph. Returns the bytes of both files.
    ///
    /// # Errors
    /// [`GgufError::NotWritten`].
    pub fn finish(mut self) -> Result<u64, GgufError> {
        let opset = |domain: &str, version| OperatorSetIdProto {
            domain: domain.to_owned(),
            version,
        };
        let model = ModelProto {
            ir_version: 8,
            producer_name: PRODUCER.into(),
            graph: Some(std::mem::take(&mut self.graph)),
            opset_import: vec![opset("", 18), opset(MS, 1)],
        };
        let bytes = model.encode_to_vec();
        self.data.flush().map_err(|source| GgufError::NotWritten {
            file: data_of(&self.file),
            source,
        })?;
        crate::files::write(&self.file, &bytes).map_err(|source| GgufError::NotWritten {
            file: self.file.clone(),
            source,
        })?;
        Ok(self.at + bytes.len() as u64)
    }
}

/// Floats as the file holds them.
#[must_use]
pub fn bytes_of(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn data_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("_data");
    PathBuf::from(name)
}

fn tensor(name: &str, element: Element, sides: &[usize]) -> TensorProto {
    TensorProto {
        dims: sides.iter().map(|side| *side as i64).collect(),
        data_type: element as i32,
        name: name.to_owned(),
        ..TensorProto::default()
    }
}

pub(crate) fn value_info(name: &str, element: Element, sides: &[Side<'_>]) -> ValueInfoProto {
    let dim = sides
        .iter()
        .map(|side| match side {
            Side::Fixed(length) => DimensionProto {
                dim_value: Some(*length as i64),
                dim_param: None,
            },
            Side::Free(name) => DimensionProto {
                dim_value: None,
                dim_param: Some((*name).to_owned()),
            },
        })
        .collect();
    ValueInfoProto {
        name: name.to_owned(),
        kind: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: element as i32,
                shape: Some(ShapeProto { dim }),
            }),
        }),
    }
}
