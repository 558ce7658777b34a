//! TensorBoard's event files: records of TFRecord, each an `Event` in protocol buffers.
//!
//! A record is the length of its data as u64, the masked CRC-32C of these eight bytes, the data, and the masked CRC-32C of the
//! data; numbers are little-endian. Fields are those of TensorFlow's `event.proto` and `summary.proto` and of the plugin
//! `hparams`; there are few, so they are written by hand.

use super::{About, Scalar, Sink, now};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Log files of runs in a folder: the run itself, or a folder for each trial.
pub(crate) struct TensorBoard {
    folder: PathBuf,
    file: Option<File>,
    /// Whether the run at hand is a trial, with settings to compare by.
    is_trial: bool,
    /// Number of files that were begun.
    begun: usize,
}

impl TensorBoard {
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        Ok(Self {
            folder: folder.to_path_buf(),
            file: None,
            is_trial: false,
            begun: 0,
        })
    }

    fn add(&mut self, events: &[Vec<u8>]) -> Result<(), String> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let bytes: Vec<u8> = events.iter().flat_map(|event| record(event)).collect();
        file.write_all(&bytes).map_err(|error| error.to_string())
    }
}

impl Sink for TensorBoard {
    fn begin(&mut self, about: &About) -> Result<(), String> {
        let folder = match about.trial {
            Some(trial) => self.folder.join(format!("trial-{trial}")),
            None => self.folder.clone(),
        };
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let time = now();
        let name = format!(
            "events.out.tfevents.{:010}.mmhc.{}.{}",
            time as u64,
            std::process::id(),
            self.begun
        );
        self.begun += 1;
        let file = File::create(folder.join(name)).map_err(|error| error.to_string())?;
        self.file = Some(file);
        self.is_trial = about.trial.is_some();
        let mut events = vec![version(time)];
        if self.is_trial {
            events.push(session_start(time, about));
        }
        self.add(&events)
    }

    fn scalars(&mut self, scalars: &[Scalar]) -> Result<(), String> {
        let events: Vec<Vec<u8>> = scalars.iter().map(scalar).collect();
        self.add(&events)
    }

    fn end(&mut self, well: bool) -> Result<(), String> {
        if self.is_trial {
            self.add(&[session_end(now(), well)])?;
        }
        match self.file.take() {
            Some(file) => file.sync_all().map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }
}

/// `Event { wall_time = 1, file_version = 3 }`.
fn version(time: f64) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, time);
    event.bytes(3, b"brain.Event:2");
    event.0
}

/// `Event { wall_time = 1, step = 2, summary = 5 { value = 1 { tag = 1, simple_value = 2 } } }`.
fn scalar(of: &Scalar) -> Vec<u8> {
    let mut value = Message::default();
    value.bytes(1, of.tag.as_bytes());
    value.float(2, of.value as f32);
    event(of.time, of.step, &value)
}

fn event(time: f64, step: u64, value: &Message) -> Vec<u8> {
    let mut summary = Message::default();
    summary.bytes(1, &value.0);
    let mut event = Message::default();
    event.double(1, time);
    event.whole(2, step);
    event.bytes(5, &summary.0);
    event.0
}

/// The settings of a trial: `HParamsPluginData { session_start_info = 3 { hparams = 1, group_name = 4, start_time_secs = 5 } }`.
fn session_start(time: f64, about: &About) -> Vec<u8> {
    let mut info = Message::default();
    for (name, text) in &about.settings {
        let mut setting = Message::default();
        match text.parse::<f64>() {
            // `google.protobuf.Value { number_value = 2, string_value = 3 }`.
            Ok(number) if number.is_finite() => setting.double(2, number),
            _ => setting.bytes(3, text.as_bytes()),
        }
        let mut entry = Message::default();
        entry.bytes(1, name.as_bytes());
        entry.bytes(2, &setting.0);
        info.bytes(1, &entry.0);
    }
    // Trials of one group would be shown as their mean.
    let group = format!("{} {}", about.name, about.trial.unwrap_or(0));
    info.bytes(4, group.as_bytes());
    info.double(5, time);
    let mut data = Message::default();
    data.bytes(3, &info.0);
    hparams(time, "_hparams_/session_start_info", &data)
}

/// How a trial ended: `HParamsPluginData { session_end_info = 4 { status = 1, end_time_secs = 2 } }`.
fn session_end(time: f64, well: bool) -> Vec<u8> {
    let mut info = Message::default();
    info.whole(1, if well { 1 } else { 2 });
    info.double(2, time);
    let mut data = Message::default();
    data.bytes(4, &info.0);
    hparams(time, "_hparams_/session_end_info", &data)
}

/// A value whose metadata (9) name the plugin and hold its data; the tensor (8), one f32, means nothing.
fn hparams(time: f64, tag: &str, data: &Message) -> Vec<u8> {
    let mut plugin = Message::default();
    plugin.bytes(1, b"hparams");
    plugin.bytes(2, &data.0);
    let mut metadata = Message::default();
    metadata.bytes(1, &plugin.0);
    let mut tensor = Message::default();
    tensor.whole(1, 1);
    tensor.bytes(2, &[]);
    tensor.bytes(5, &0f32.to_le_bytes());
    let mut value = Message::default();
    value.bytes(1, tag.as_bytes());
    value.bytes(8, &tensor.0);
    value.bytes(9, &metadata.0);
    event(time, 0, &value)
}

/// A message of protocol buffers as it is written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn whole(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked(crc32c(&length)).to_le_bytes());
    record.extend(data);
    record.extend(masked(crc32c(data)).to_le_bytes());
    record
}

/// TFRecord's mask, as a CRC of bytes that hold CRCs is none.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: logs are small.
fn crc32c(bytes: &[u8]) -> u32 {
    let byte = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let carry = crc & 1;
            (crc >> 1) ^ (carry.wrapping_neg() & 0x82f6_3b78)
        })
    };
    !bytes.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn numbers_are_written_in_groups_of_seven_bits() {
        let mut message = Message::default();
        message.whole(2, 300);
        assert_eq!(message.0, [0x10, 0xac, 0x02]);
    }
}
