//! What is said about the engines: in `GET /status`, in a document's settings, and by the self-test.

use ai_peer::privacy::{Masks, Place};
use model::{Checkup, Generator, ModelInfo};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::engines::{Seat, Seats};
use super::peers::word;
use crate::engine_room::{EngineRoom, EngineStatus};
use crate::relay::{DeviceStatus, ModelStatus};

/// The engines, for whoever asks over REST.
#[derive(Debug)]
pub(super) struct Room(pub(super) watch::Receiver<Seats>);

impl EngineRoom for Room {
    fn engines(&self) -> Vec<EngineStatus> {
        let seats = self.0.borrow().clone();
        seats
            .iter()
            .map(|seat| EngineStatus {
                name: seat.name.clone(),
                place: word(seat.place),
                place_words: seat.place.map_or("in Inkling itself", Place::words).to_owned(),
                model: seat.generator().map(|generator| generator.info().name.clone()),
                id: seat.generator().map(|generator| generator.info().id.clone()),
                problem: seat.problem(),
            })
            .collect()
    }

    fn examine(&self) -> Value {
        let seats = self.0.borrow().clone();
        let reports = seats.iter().map(|seat| {
            let (words, checkup) = match seat.generator() {
                Some(generator) => {
                    let checkup = Checkup::examine(generator.as_ref());
                    (checkup.words(), Some(checkup))
                }
                None => (
                    seat.problem()
                        .unwrap_or_else(|| "it is not reached yet".to_owned()),
                    None,
                ),
            };
            json!({"name": seat.name, "place": word(seat.place), "words": words, "checkup": checkup})
        });
        reports.collect()
    }

    fn preview(&self, text: &str, names: &[String]) -> Value {
        let mut masks = Masks::default();
        let masked = masks.mask(text, names);
        let spans: Vec<Value> = masked
            .spans
            .iter()
            .map(|(kind, placeholder, value)| {
                json!({"kind": kind, "words": kind.words(), "placeholder": placeholder, "text": value})
            })
            .collect();
        json!({"masked": masked.text, "spans": spans})
    }
}

/// What `GET /status` says about an engine.
pub(super) fn status(seat: &Seat) -> ModelStatus {
    match seat.generator() {
        Some(generator) => of_model(generator.as_ref(), seat),
        None => ModelStatus {
            id: seat.name.clone(),
            name: seat.name.clone(),
            devices: vec![DeviceStatus {
                provider: word(seat.place).to_owned(),
                running: false,
                reason: seat.problem().unwrap_or_default(),
            }],
            ..ModelStatus::default()
        },
    }
}

fn of_model(generator: &dyn Generator, seat: &Seat) -> ModelStatus {
    let info: &ModelInfo = generator.info();
    let device = &info.device;
    let shares: Vec<String> = device
        .shares
        .iter()
        .map(|share| format!("{} nodes on {}", share.nodes, share.provider))
        .collect();
    let place = seat.place.map(Place::words);
    let runs = DeviceStatus {
        provider: place.unwrap_or(device.provider.name()).to_owned(),
        running: true,
        reason: match place {
            Some(_) => device.engine(),
            None => format!("{}: {}", device.engine(), shares.join(", ")),
        },
    };
    let refused = device.refused.iter().map(|refusal| DeviceStatus {
        provider: refusal.provider.name().to_owned(),
        running: false,
        reason: refusal.reason.clone(),
    });
    ModelStatus {
        id: info.id.clone(),
        name: if seat.place.is_some() {
            seat.name.clone()
        } else {
            info.name.clone()
        },
        device: place.map_or_else(|| device.label(), str::to_owned),
        quantisation: info.quantisation.clone(),
        licence: info.licence.clone().unwrap_or_else(|| "not stated".into()),
        tokens_per_second: Some(info.decode_tokens_per_second),
        context_length: info.context_length,
        devices: refused.chain([runs]).collect(),
    }
}
