//! The relative position bias in a graph: made once, from tokens that are counted, and added to all layers' scores.

use candle_core::Result;

use super::encoder::{EncoderGraph, Tokens};
use super::graph::{Value, int, ints};
use crate::model::{Part, RelativeBias};
use crate::onnx_file::proto::DataType;

impl EncoderGraph<'_> {
    /// `[1, heads, sequence, sequence]`: each head's bias of all pairs, queries before keys.
    pub(super) fn relative_bias(&mut self, tokens: &Tokens, bias: RelativeBias) -> Result<Value> {
        let table = self.shared_weight(Part::RelativeBias)?;
        let graph = &mut self.graph;
        graph.scope("relative_attention_bias");
        // All offsets from the largest distance on are of one bucket.
        let most = bias.max_distance as i64;
        let buckets: Vec<i64> = (-most..=most).map(|offset| bias.bucket(offset as isize) as i64).collect();
        let buckets = graph.integers(&buckets);
        let by_offset = graph.node("Gather", &[&table, &buckets], vec![]);
        let by_offset = graph.node("Transpose", &[&by_offset], vec![ints("perm", &[1, 0])]);

        let first = graph.integer(0);
        let row = graph.node("Gather", &[&tokens.ids, &first], vec![int("axis", 0)]);
        let ones = graph.node("Equal", &[&row, &row], vec![]);
        let ones = graph.cast(&ones, DataType::Int64);
        let places = graph.node("CumSum", &[&ones, &first], vec![]);
        let (before, after) = (graph.integers(&[0]), graph.integers(&[1]));
        let keys = graph.node("Unsqueeze", &[&places, &before], vec![]);
        let queries = graph.node("Unsqueeze", &[&places, &after], vec![]);
        let offsets = graph.node("Sub", &[&keys, &queries], vec![]);
        let (least, most) = (graph.integer(-most), graph.integer(most));
        let offsets = graph.node("Clip", &[&offsets, &least, &most], vec![]);
        let offsets = graph.node("Add", &[&offsets, &most], vec![]);
        let by_pair = graph.node("Gather", &[&by_offset, &offsets], vec![int("axis", 1)]);
        Ok(graph.node("Unsqueeze", &[&by_pair, &before], vec![]))
    }
}
