//! The inputs of a graph that takes adapters: an adapter's matrices, or nothing.
use ort::value::Tensor;

use super::graph::Port;
use crate::adapter::graph::{INPUT_A, INPUT_B};
use crate::adapter::{Adapter, NOBODY};

/// Adapters whose tensors are kept ready.
const READY: usize = 4;

/// The inputs for one adapter, by name.
type Inputs = Vec<(String, Tensor<f32>)>;

/// What the graph wears.
#[derive(Debug)]
pub(super) struct Worn {
    ports: Vec<Port>,
    /// By owner; the one in use is the first.
    ready: Vec<(u64, Inputs)>,
}

impl Worn {
    /// Nothing is on.
    pub(super) fn new(ports: &[Port]) -> Result<Self, ort::Error> {
        let mut worn = Self {
            ports: ports.to_vec(),
            ready: Vec::new(),
        };
        worn.put_on(None)?;
        Ok(worn)
    }

    /// Puts an adapter on, or none. Returns whether anything changed.
    pub(super) fn put_on(&mut self, adapter: Option<&Adapter>) -> Result<bool, ort::Error> {
        let owner = adapter.map_or(NOBODY, Adapter::owner);
        if self.ready.first().is_some_and(|(worn, _)| *worn == owner) {
            return Ok(false);
        }
        if adapter.is_some() && self.ports.is_empty() {
            return Err(ort::Error::new("this graph takes no adapters"));
        }
        let found = match self.ready.iter().position(|(ready, _)| *ready == owner) {
            Some(index) => self.ready.remove(index),
            None => (owner, self.make(adapter)?),
        };
        self.ready.truncate(READY - 1);
        self.ready.insert(0, found);
        Ok(true)
    }

    /// What is to be bound.
    pub(super) fn inputs(&self) -> &[(String, Tensor<f32>)] {
        self.ready.first().map_or(&[], |(_, inputs)| inputs.as_slice())
    }

    fn make(&self, adapter: Option<&Adapter>) -> Result<Inputs, ort::Error> {
        self.ports
            .iter()
            .map(|port| {
                let side = |index: usize| port.shape.get(index).copied().unwrap_or(0).max(0);
                let key = port
                    .name
                    .strip_prefix(INPUT_A)
                    .or_else(|| port.name.strip_prefix(INPUT_B));
                let factors = adapter.and_then(|adapter| adapter.factors(key?));
                // a projection without an adapter gets one of rank 1 that adds nothing
                let rank = factors.map_or(1, |factors| factors.rank as i64);
                let (sides, numbers) = if port.name.starts_with(INPUT_A) {
                    ([side(0), rank], factors.map(|factors| factors.a.clone()))
                } else {
                    ([rank, side(1)], factors.map(|factors| factors.b.clone()))
                };
                let count = usize::try_from(sides.iter().product::<i64>()).unwrap_or(0);
                let numbers = numbers.unwrap_or_else(|| vec![0.0; count]);
                Ok((port.name.clone(), Tensor::from_array((sides, numbers))?))
            })
            .collect()
    }
}
