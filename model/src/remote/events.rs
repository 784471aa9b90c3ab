//! Server-sent events, as far as these endpoints use them: the `data` of each event.

/// An event longer than this is no answer of a model.
const LONGEST: usize = 1 << 20;

/// Puts events together from what comes over the network, however it is cut.
#[derive(Debug, Default)]
pub(super) struct Events {
    bytes: Vec<u8>,
    data: String,
}

impl Events {
    /// Takes more bytes; returns the data of the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, &'static str> {
        self.bytes.extend_from_slice(bytes);
        let mut complete = Vec::new();
        let mut start = 0;
        while let Some(length) = self
            .bytes
            .get(start..)
            .and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
        {
            let line = self.bytes.get(start..start + length).unwrap_or_default();
            let line = std::str::from_utf8(line).map_err(|_| "it sent text that is no UTF-8")?;
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                if !self.data.is_empty() {
                    complete.push(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix("data:") {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            } // comments and other fields mean nothing here
            start += length + 1;
        }
        self.bytes.drain(..start);
        if self.bytes.len() + self.data.len() > LONGEST {
            return Err("it sent an event without an end");
        }
        Ok(complete)
    }

    /// What a server that does not end its last event has sent.
    pub(super) fn finish(mut self) -> Option<String> {
        let rest = self.push(b"\n\n").ok()?;
        rest.into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str =
        ": hello\r\ndata: {\"a\":1}\r\n\r\nevent: x\ndata:zwölf\ndata: two\n\n\n\ndata: [DONE]\n\n";

    proptest! {
        #[test]
        fn however_it_is_cut_the_events_are_the_same(cuts in proptest::collection::vec(1usize..9, 1..40)) {
            let (mut events, mut found, mut rest) = (Events::default(), Vec::new(), STREAM.as_bytes());
            let mut cuts = cuts.into_iter().cycle();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                found.extend(events.push(now).unwrap());
                rest = later;
            }
            prop_assert_eq!(found, ["{\"a\":1}", "zwölf\ntwo", "[DONE]"]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Events::default().push(&bytes);
        }
    }

    #[test]
    fn an_event_without_an_end_is_refused_and_a_last_one_is_kept() {
        let mut events = Events::default();
        assert!(events.push(&vec![b'x'; LONGEST + 1]).is_err());
        let mut events = Events::default();
        assert!(events.push(b"data: last").unwrap().is_empty());
        assert_eq!(events.finish().as_deref(), Some("last"));
    }
}
