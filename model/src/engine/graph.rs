//! What a decoder graph takes and returns; graphs that are not handled are refused by name.
use crate::adapter::graph::{INPUT_A, INPUT_B};
use ort::session::Session;
use ort::value::{Outlet, Tensor, TensorElementType as Element, ValueType};

/// One input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Type of its numbers; `None` if it is no tensor.
    pub element: Option<Element>,
    /// Its shape, -1 where it varies.
    pub shape: Vec<i64>,
}

/// One layer's keys or values in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSlot {
    /// The input.
    pub past: String,
    /// The output.
    pub present: String,
    /// Type of its numbers.
    pub element: Element,
    /// Number of heads.
    pub heads: i64,
    /// Numbers per head and token.
    pub dim: i64,
}

/// The input that says for how many tokens, from the end, scores are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepLogits {
    /// The input's name.
    pub name: String,
    /// Whether it is a list of one number instead of a number.
    pub is_list: bool,
}

impl KeepLogits {
    pub(super) fn tensor(&self, rows: usize) -> Result<Tensor<i64>, ort::Error> {
        let shape: Vec<i64> = if self.is_list { vec![1] } else { vec![] };
        Tensor::from_array((shape, vec![rows as i64]))
    }
}

/// What a graph takes and returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// Keys and values of every layer, in the graph's order.
    pub cache: Vec<CacheSlot>,
    /// Whether it wants positions.
    pub has_positions: bool,
    /// Whether it can leave out scores that nobody needs.
    pub keep: Option<KeepLogits>,
    /// Number of tokens that have a score.
    pub vocabulary: usize,
    /// Where it takes an adapter; empty for graphs that take none.
    pub adapter: Vec<Port>,
}

impl Graph {
    /// Bytes of keys and values for one token.
    #[must_use]
    pub fn token_bytes(&self) -> usize {
        let size = |slot: &CacheSlot| {
            let bytes = if slot.element == Element::Float16 { 2 } else { 4 };
            usize::try_from(slot.heads * slot.dim).unwrap_or(0) * bytes
        };
        self.cache.iter().map(size).sum()
    }

    /// Reads a session's inputs and outputs. `vocabulary` is the settings' word, for graphs that do not say.
    pub(super) fn of_session(session: &Session, vocabulary: Option<usize>) -> Result<Self, String> {
        let ports = |outlets: &[Outlet]| outlets.iter().map(port).collect::<Vec<_>>();
        Self::of_ports(&ports(session.inputs()), &ports(session.outputs()), vocabulary)
    }

    /// Reads a graph's inputs and outputs.
    ///
    /// # Errors
    /// What is not handled, and what to export instead, in words.
    pub fn of_ports(inputs: &[Port], outputs: &[Port], vocabulary: Option<usize>) -> Result<Self, String> {
        let mut graph = Self {
            cache: Vec::new(),
            has_positions: false,
            keep: None,
            vocabulary: 0,
            adapter: Vec::new(),
        };
        refuse_known_kinds(inputs)?;
        for input in inputs {
            match input.name.as_str() {
                "input_ids" | "attention_mask" => integers(input)?,
                "position_ids" => {
                    integers(input)?;
                    graph.has_positions = true;
                }
                "num_logits_to_keep" | "logits_to_keep" => {
                    integers(input)?;
                    graph.keep = Some(KeepLogits {
                        name: input.name.clone(),
                        is_list: !input.shape.is_empty(),
                    });
                }
                name if name.starts_with(INPUT_A) || name.starts_with(INPUT_B) => {
                    graph.adapter.push(input.clone());
                }
                name if name.starts_with("past_key_values.") => graph.cache.push(slot(input, outputs)?),
                name => {
                    return Err(format!(
                        "it wants an input `{name}`, which only {} have",
                        kind_of(name)
                    ));
                }
            }
        }
        for need in ["input_ids", "attention_mask"] {
            if !inputs.iter().any(|input| input.name == need) {
                return Err(format!(
                    "it has no input `{need}`, so it is no text decoder that is known here"
                ));
            }
        }
        if graph.cache.is_empty() {
            return Err("it keeps no cache (no `past_key_values` inputs): export it with one, in optimum as `text-generation-with-past`".into());
        }
        let logits = outputs
            .iter()
            .find(|output| output.name == "logits")
            .ok_or("it has no output `logits`")?;
        if logits.element != Some(Element::Float32) {
            return Err(format!(
                "its scores (`logits`) are {}: use a variant whose scores are float32, for example q4 instead of q4f16",
                element_name(logits.element)
            ));
        }
        let told = logits
            .shape
            .last()
            .and_then(|size| usize::try_from(*size).ok())
            .filter(|size| *size > 0);
        graph.vocabulary = told
            .or(vocabulary)
            .ok_or("neither its output `logits` nor config.json says how many tokens it knows")?;
        Ok(graph)
    }
}

fn refuse_known_kinds(inputs: &[Port]) -> Result<(), String> {
    let has = |name: &str| inputs.iter().any(|input| input.name == name);
    if has("use_cache_branch") {
        return Err("it is a merged decoder (input `use_cache_branch`): use an export with one branch, such as model.onnx or model_q4.onnx".into());
    }
    if has("inputs_embeds") {
        return Err("it takes embeddings instead of tokens (input `inputs_embeds`), as the text part of a model for images or speech does".into());
    }
    if has("encoder_hidden_states") {
        return Err(
            "it needs an encoder (input `encoder_hidden_states`); only decoders write text here".into(),
        );
    }
    Ok(())
}

fn kind_of(name: &str) -> &'static str {
    let recurrent = ["conv", "recurrent", "ssm", "state", "mamba", "rnn"];
    if recurrent.iter().any(|part| name.contains(part)) {
        "models with a recurrent cache, not handled yet,"
    } else {
        "kinds of model that are not handled yet"
    }
}

fn slot(input: &Port, outputs: &[Port]) -> Result<CacheSlot, String> {
    let name = &input.name;
    let rest = name.strip_prefix("past_key_values.").unwrap_or(name);
    if !matches!(rest.split_once('.'), Some((layer, "key" | "value")) if layer.parse::<u32>().is_ok()) {
        return Err(format!(
            "its cache has a part `{name}`, which only {} have",
            kind_of(rest)
        ));
    }
    let present = format!("present.{rest}");
    if !outputs.iter().any(|output| output.name == present) {
        return Err(format!("it takes `{name}` and returns no `{present}`"));
    }
    let (Some(element @ (Element::Float32 | Element::Float16)), [_, heads, _, dim]) =
        (input.element, input.shape.as_slice())
    else {
        return Err(format!(
            "its cache `{name}` is {} of shape {:?}, not float32 or float16 of [batch, heads, tokens, size]",
            element_name(input.element),
            input.shape
        ));
    };
    if *heads < 1 || *dim < 1 {
        return Err(format!(
            "its cache `{name}` does not say how many heads it has or how large they are"
        ));
    }
    Ok(CacheSlot {
        past: name.clone(),
        present,
        element,
        heads: *heads,
        dim: *dim,
    })
}

fn integers(port: &Port) -> Result<(), String> {
    match port.element {
        Some(Element::Int64) => Ok(()),
        other => Err(format!(
            "its input `{}` is {}, not int64",
            port.name,
            element_name(other)
        )),
    }
}

fn element_name(element: Option<Element>) -> String {
    element.map_or_else(|| "no tensor".to_owned(), |element| element.to_string())
}

fn port(outlet: &Outlet) -> Port {
    let (element, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => (Some(*ty), shape.to_vec()),
        ValueType::Sequence(_) | ValueType::Map { .. } | ValueType::Optional(_) => (None, Vec::new()),
    };
    Port {
        name: outlet.name().to_owned(),
        element,
        shape,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, element: Element, shape: &[i64]) -> Port {
        Port {
            name: name.into(),
            element: Some(element),
            shape: shape.to_vec(),
        }
    }

    fn good() -> (Vec<Port>, Vec<Port>) {
        let inputs = vec![
            port("input_ids", Element::Int64, &[-1, -1]),
            port("attention_mask", Element::Int64, &[-1, -1]),
            port("position_ids", Element::Int64, &[-1, -1]),
            port("num_logits_to_keep", Element::Int64, &[]),
            port("past_key_values.0.key", Element::Float32, &[-1, 3, -1, 64]),
            port("past_key_values.0.value", Element::Float32, &[-1, 3, -1, 64]),
        ];
        let outputs = vec![
            port("logits", Element::Float32, &[-1, -1, 100]),
            port("present.0.key", Element::Float32, &[-1, 3, -1, 64]),
            port("present.0.value", Element::Float32, &[-1, 3, -1, 64]),
        ];
        (inputs, outputs)
    }

    fn refusal(change: impl FnOnce(&mut Vec<Port>, &mut Vec<Port>)) -> String {
        let (mut inputs, mut outputs) = good();
        change(&mut inputs, &mut outputs);
        Graph::of_ports(&inputs, &outputs, None).unwrap_err()
    }

    #[test]
    fn a_usual_export_is_read() {
        let (inputs, outputs) = good();
        let graph = Graph::of_ports(&inputs, &outputs, None).unwrap();
        assert_eq!(
            (graph.cache.len(), graph.vocabulary, graph.has_positions),
            (2, 100, true)
        );
        assert_eq!(graph.cache[1].present, "present.0.value");
        assert!(!graph.keep.unwrap().is_list);
    }

    #[test]
    fn the_settings_tell_the_vocabulary_when_the_graph_does_not() {
        let (inputs, mut outputs) = good();
        outputs[0].shape = vec![-1, -1, -1];
        assert_eq!(Graph::of_ports(&inputs, &outputs, Some(7)).unwrap().vocabulary, 7);
        assert!(
            Graph::of_ports(&inputs, &outputs, None)
                .unwrap_err()
                .contains("config.json")
        );
    }

    #[test]
    fn what_is_not_handled_is_refused_by_name() {
        let extra =
            |name: &'static str| refusal(move |inputs, _| inputs.push(port(name, Element::Int64, &[1])));
        assert!(extra("use_cache_branch").contains("merged decoder"));
        assert!(extra("inputs_embeds").contains("embeddings"));
        assert!(extra("encoder_hidden_states").contains("encoder"));
        assert!(extra("past_conv.0").contains("recurrent cache"));
        assert!(extra("past_key_values.3.recurrent_state").contains("recurrent cache"));
        assert!(extra("pixel_values").contains("`pixel_values`"));
        assert!(refusal(|_, outputs| outputs[0].element = Some(Element::Float16)).contains("float32"));
        assert!(refusal(|inputs, _| inputs[0].element = Some(Element::Int32)).contains("`input_ids`"));
        assert!(refusal(|inputs, _| inputs.truncate(4)).contains("text-generation-with-past"));
        assert!(refusal(|_, outputs| outputs.truncate(2)).contains("present.0.value"));
        assert!(
            refusal(|inputs, _| inputs[4].element = Some(Element::Int8)).contains("past_key_values.0.key")
        );
    }
}
