//! Which files beside an ONNX graph hold its weights. Reads only the names, however large the graph is.
//!
//! Field numbers are those of `onnx.proto`: `ModelProto.graph` 7, `GraphProto.initializer` 5,
//! `TensorProto.external_data` 13, `StringStringEntryProto.key` 1 and `.value` 2.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const EXTERNAL_DATA: u64 = 13;

/// File name (relative to the graph) to the number of bytes that it must have at least.
pub(super) fn files(graph: &Path) -> io::Result<BTreeMap<String, u64>> {
    let file = File::open(graph)?;
    let end = file.metadata()?.len();
    let mut reader = Fields {
        reader: BufReader::new(file),
        at: 0,
    };
    let mut found = BTreeMap::new();
    while let Some((number, length)) = reader.next(end)? {
        if number == GRAPH {
            let graph_end = reader.at + length;
            initializers(&mut reader, graph_end, &mut found)?;
        } else {
            reader.skip(length)?;
        }
    }
    Ok(found)
}

fn initializers(reader: &mut Fields, end: u64, found: &mut BTreeMap<String, u64>) -> io::Result<()> {
    while let Some((number, length)) = reader.next(end)? {
        if number != INITIALIZER {
            reader.skip(length)?;
            continue;
        }
        let tensor_end = reader.at + length;
        let mut place = Place::default();
        while let Some((number, length)) = reader.next(tensor_end)? {
            if number == EXTERNAL_DATA {
                let entry_end = reader.at + length;
                place.entry(reader, entry_end)?;
            } else {
                reader.skip(length)?;
            }
        }
        if let Some(location) = place.location {
            let needed = found.entry(location).or_insert(0u64);
            *needed = (*needed).max(place.offset.saturating_add(place.length));
        }
    }
    Ok(())
}

/// Where one tensor lies.
#[derive(Default)]
struct Place {
    location: Option<String>,
    offset: u64,
    length: u64,
}

impl Place {
    fn entry(&mut self, reader: &mut Fields, end: u64) -> io::Result<()> {
        let (mut key, mut value) = (String::new(), String::new());
        while let Some((number, length)) = reader.next(end)? {
            match number {
                1 => key = reader.text(length)?,
                2 => value = reader.text(length)?,
                _ => reader.skip(length)?,
            }
        }
        match key.as_str() {
            "location" => self.location = Some(value),
            "offset" => self.offset = value.parse().unwrap_or(0),
            "length" => self.length = value.parse().unwrap_or(0),
            _ => {}
        }
        Ok(())
    }
}

/// The fields of a protobuf message, one after the other.
struct Fields {
    reader: BufReader<File>,
    at: u64,
}

impl Fields {
    /// The next field that has a length: (number, length in bytes). Plain numbers are passed over.
    fn next(&mut self, end: u64) -> io::Result<Option<(u64, u64)>> {
        while self.at < end {
            let key = self.number()?;
            match key & 7 {
                0 => drop(self.number()?),
                1 => self.skip(8)?,
                2 => {
                    let length = self.number()?;
                    if length > end.saturating_sub(self.at) {
                        return Err(damaged("it ends in the middle"));
                    }
                    return Ok(Some((key >> 3, length)));
                }
                5 => self.skip(4)?,
                _ => return Err(damaged("it is no ONNX graph")),
            }
        }
        Ok(None)
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0u8; 1];
            self.reader
                .read_exact(&mut byte)
                .map_err(|_| damaged("it ends in the middle"))?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged("it is no ONNX graph"))
    }

    fn text(&mut self, length: u64) -> io::Result<String> {
        if length > 4096 {
            return Err(damaged("it names a file with a name that is too long"));
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes)?;
        self.at += length;
        String::from_utf8(bytes).map_err(|_| damaged("it names a file with a name that is no text"))
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let step = i64::try_from(length).map_err(|_| damaged("it is no ONNX graph"))?;
        self.reader.seek_relative(step)?;
        self.at += length;
        Ok(())
    }
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(number: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = body.len();
        while length > 127 {
            bytes.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(body);
        bytes
    }

    fn entry(key: &str, value: &str) -> Vec<u8> {
        field(
            13,
            &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat(),
        )
    }

    fn read(bytes: &[u8]) -> io::Result<BTreeMap<String, u64>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        std::io::Write::write_all(&mut File::create(&path).unwrap(), bytes).unwrap();
        files(&path)
    }

    fn example() -> Vec<u8> {
        let far = [
            entry("location", "model.onnx_data"),
            entry("offset", "4096"),
            entry("length", "100"),
        ]
        .concat();
        let near = [
            vec![0x08, 200, 1],
            entry("location", "model.onnx_data"),
            entry("length", "8"),
        ]
        .concat();
        let inline = field(9, &[7; 300]);
        let graph = [
            field(1, &[0; 5]),
            field(5, &far),
            field(5, &inline),
            field(5, &near),
        ]
        .concat();
        [vec![0x08, 8], field(2, b"exporter"), field(7, &graph)].concat()
    }

    #[test]
    fn every_file_is_found_with_its_size() {
        assert_eq!(
            read(&example()).unwrap(),
            BTreeMap::from([("model.onnx_data".to_owned(), 4196)])
        );
    }

    #[test]
    fn a_graph_that_is_cut_short_is_damaged() {
        let whole = example();
        assert!(read(&whole[..whole.len() - 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
