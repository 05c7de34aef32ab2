//! A packed batch on the device: everything that kernels read of it, in one upload.

use candle_core::Result;

use super::device::{Buffer, Gpu, Pointer};
use crate::backend::{Input, Readout};
use crate::batch::PackedBatch;
use crate::model::Pooling;

/// Places in an uploaded buffer, in values of 32 bits.
#[derive(Clone, Copy, Debug, Default)]
struct Section {
    start: usize,
    len: usize,
}

/// Collects arrays, each at a multiple of 16 bytes.
#[derive(Default)]
struct Upload(Vec<u32>);

impl Upload {
    fn push(&mut self, values: impl IntoIterator<Item = u32>) -> Section {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        let start = self.0.len();
        self.0.extend(values);
        Section { start, len: self.0.len() - start }
    }
}

/// Rows with equal ids, to be summed in a fixed order.
#[derive(Clone, Copy, Debug, Default)]
struct Groups {
    /// Rows by their ids, then in the batch's order.
    order: Section,
    /// Where each id's rows begin in `order`, and the end.
    segments: Section,
    /// The ids, ascending.
    ids: Section,
}

impl Groups {
    fn push(upload: &mut Upload, ids: &[u32]) -> Self {
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        order.sort_by_key(|&row| ids[row as usize]);
        let first =
            |&place: &usize| place == 0 || ids[order[place] as usize] != ids[order[place - 1] as usize];
        let starts: Vec<usize> = (0..order.len()).filter(first).collect();
        let of_segments = upload.push(starts.iter().map(|&place| ids[order[place] as usize]));
        let bounds = starts.iter().copied().chain([order.len()]);
        let segments = upload.push(bounds.map(|place| place as u32));
        Groups { order: upload.push(order), segments, ids: of_segments }
    }
}

/// A packed batch and the keys of one pass, on the device.
#[derive(Debug)]
pub struct DeviceBatch {
    values: Buffer<u32>,
    pub sequences: usize,
    pub tokens: usize,
    /// Tokens of the longest sequence.
    pub longest: usize,
    keys: Section,
    token_ids: Section,
    position_ids: Section,
    token_types: Option<Section>,
    row_sequence: Section,
    row_token: Section,
    cu_seqlens: Section,
    key_lens: Section,
    pooled: [Section; 2],
    chosen: Option<Chosen>,
    words: Groups,
    positions: Groups,
}

/// Rows that alone are wanted of the last layer, each of which is an output.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    /// Of the sequence that has most.
    longest: usize,
    row_sequence: Section,
    row_token: Section,
    cu_queries: Section,
    index: Section,
    /// 0, 1, …, as many as there are.
    counted: Section,
}

impl Chosen {
    /// `rows` of the batch, ascending.
    fn push(upload: &mut Upload, batch: &PackedBatch, rows: &[usize]) -> Self {
        let before = |start: &usize| rows.partition_point(|row| row < start) as u32;
        let bounds: Vec<u32> = batch.cu_seqlens.iter().map(before).collect();
        let of_row = |row: &usize| batch.cu_seqlens.partition_point(|start| start <= row) - 1;
        let sequences: Vec<usize> = rows.iter().map(of_row).collect();
        let tokens = rows.iter().zip(&sequences).map(|(row, &i)| (row - batch.cu_seqlens[i]) as u32);
        Chosen {
            longest: bounds.windows(2).map(|ends| (ends[1] - ends[0]) as usize).max().unwrap_or(0),
            row_token: upload.push(tokens),
            row_sequence: upload.push(sequences.iter().map(|&i| i as u32)),
            cu_queries: upload.push(bounds),
            index: upload.push(rows.iter().map(|&row| row as u32)),
            counted: upload.push(0..=rows.len() as u32),
        }
    }
}

/// The rows that a layer computes after its keys and values.
#[derive(Clone, Copy, Debug)]
pub struct Queries {
    pub rows: usize,
    /// Of the sequence that has most.
    pub longest: usize,
    /// Whether they are all rows, in their order.
    pub all: bool,
    /// `[rows]`
    pub row_sequence: Pointer<u32>,
    /// `[rows]`: the token's number within its sequence.
    pub row_token: Pointer<u32>,
    /// `[sequences + 1]`
    pub cu_queries: Pointer<u32>,
    /// `[rows]`: where they lie among all, unless they are all.
    pub index: Pointer<u32>,
    /// Embeddings, or hidden states, that are read off.
    pub outputs: usize,
    /// `[outputs]` each: the first of the rows that one is the mean of, and the one behind the last.
    pub pooled: [Pointer<u32>; 2],
    /// `[rows]`: which output a row may belong to.
    pub row_output: Pointer<u32>,
}

/// An array of rows with equal ids.
#[derive(Clone, Copy, Debug)]
pub struct Segments {
    pub count: usize,
    pub order: Pointer<u32>,
    pub segments: Pointer<u32>,
    pub ids: Pointer<u32>,
}

impl DeviceBatch {
    /// Uploads a batch; what only the way back reads as well where it is `tracked`.
    pub fn new(gpu: &Gpu, input: &Input, tracked: bool) -> Result<Self> {
        let &Input { batch, pass, readout, .. } = input;
        let n = batch.len();
        let mut upload = Upload::default();
        let halves = |key: u64| [key as u32, (key >> 32) as u32];
        let keys = upload.push(batch.ids.iter().flat_map(|&id| halves(pass.sequence(id).value())));
        let token_ids = upload.push(batch.token_ids.iter().copied());
        let position_ids = upload.push(batch.position_ids.iter().copied());
        let typed = batch.token_types.iter().any(|&of_token| of_token != 0);
        let token_types = typed.then(|| upload.push(batch.token_types.iter().copied()));
        let rows = |i| batch.rows(i).map(move |_| i as u32);
        let row_sequence = upload.push((0..n).flat_map(rows));
        let row_token = upload.push((0..n).flat_map(|i| 0..batch.seqlen(i) as u32));
        let cu_seqlens = upload.push(batch.cu_seqlens.iter().map(|&row| row as u32));
        let key_lens = upload.push(batch.key_lens.iter().map(|&len| len as u32));
        let pooled = [
            upload.push((0..n).map(|i| batch.pooled_rows(i).start as u32)),
            upload.push((0..n).map(|i| batch.pooled_rows(i).end as u32)),
        ];
        let chosen = match readout {
            Readout::Pooled(Pooling::Cls) => Some((0..n).map(|i| batch.first_pooled_row(i)).collect()),
            Readout::Pooled(Pooling::Mean | Pooling::MeanPadded | Pooling::FirstLastAvg) => None,
            Readout::Chosen => batch.chosen.clone(),
        };
        let chosen = chosen.map(|rows: Vec<usize>| Chosen::push(&mut upload, batch, &rows));
        let (mut words, mut positions) = (Groups::default(), Groups::default());
        if tracked {
            words = Groups::push(&mut upload, &batch.token_ids);
            positions = Groups::push(&mut upload, &batch.position_ids);
        }
        Ok(DeviceBatch {
            values: gpu.upload(&upload.0)?,
            sequences: n,
            tokens: batch.total_tokens(),
            longest: batch.max_seqlen(),
            keys,
            token_ids,
            position_ids,
            token_types,
            row_sequence,
            row_token,
            cu_seqlens,
            key_lens,
            pooled,
            chosen,
            words,
            positions,
        })
    }

    fn at(&self, section: Section) -> Pointer<u32> {
        debug_assert!(section.start + section.len <= self.values.len());
        self.values.pointer().at(section.start)
    }

    /// `[sequences]`
    pub fn keys(&self) -> Pointer<u64> {
        self.at(self.keys).cast()
    }

    /// `[tokens]`
    pub fn token_ids(&self) -> Pointer<u32> {
        self.at(self.token_ids)
    }

    /// `[tokens]`
    pub fn position_ids(&self) -> Pointer<u32> {
        self.at(self.position_ids)
    }

    /// `[tokens]`, or null where all are 0.
    pub fn token_types(&self) -> Pointer<u32> {
        self.token_types.map_or(Pointer::NULL, |section| self.at(section))
    }

    /// `[sequences + 1]`
    pub fn cu_seqlens(&self) -> Pointer<u32> {
        self.at(self.cu_seqlens)
    }

    /// `[sequences]`
    pub fn key_lens(&self) -> Pointer<u32> {
        self.at(self.key_lens)
    }

    /// All rows.
    pub fn all(&self) -> Queries {
        Queries {
            rows: self.tokens,
            longest: self.longest,
            all: true,
            row_sequence: self.at(self.row_sequence),
            row_token: self.at(self.row_token),
            cu_queries: self.cu_seqlens(),
            index: Pointer::NULL,
            outputs: self.sequences,
            pooled: self.pooled.map(|section| self.at(section)),
            row_output: self.at(self.row_sequence),
        }
    }

    /// Those that the last layer must compute.
    pub fn last(&self) -> Queries {
        let Some(chosen) = self.chosen else { return self.all() };
        let counted = self.at(chosen.counted);
        Queries {
            rows: chosen.index.len,
            longest: chosen.longest,
            all: false,
            row_sequence: self.at(chosen.row_sequence),
            row_token: self.at(chosen.row_token),
            cu_queries: self.at(chosen.cu_queries),
            index: self.at(chosen.index),
            outputs: chosen.index.len,
            pooled: [counted, counted.at(1)],
            row_output: counted,
        }
    }

    pub fn words(&self) -> Segments {
        self.segments(self.words)
    }

    pub fn positions(&self) -> Segments {
        self.segments(self.positions)
    }

    fn segments(&self, groups: Groups) -> Segments {
        Segments {
            count: groups.ids.len,
            order: self.at(groups.order),
            segments: self.at(groups.segments),
            ids: self.at(groups.ids),
        }
    }
}

/// The least bits of a value that is kept, and the factor of one, as kernels take them.
pub fn dropout(p: f64) -> (u32, f32) {
    crate::random::Dropout::new(p).map_or((0, 1.0), |dropout| (dropout.threshold, dropout.scale))
}
