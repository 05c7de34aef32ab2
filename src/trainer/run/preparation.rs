//! From a batch of text to packed tokens.

use std::sync::Arc;

use crate::batch::{PackedBatch, SequenceId};
use crate::corpus::Batch;
use crate::encoder::Encoder;
use crate::prompt::Prompt;
use crate::tokenize::Tokenizer;
use crate::trainer::TrainError;

/// Turns a batch of text into packed tokens, in the thread that prepares batches.
pub struct Preparation {
    /// Decides positions and padding.
    pub encoder: Encoder,
    /// Turns texts into token ids.
    pub tokenizer: Arc<Tokenizer>,
    /// Put before both views, after the mask.
    pub prompt: Prompt,
    /// Tokens of a sentence beyond which it is cut.
    pub max_length: usize,
}

impl Preparation {
    /// 2N sequences: the N first views, then the N second views.
    pub fn pack(&self, batch: &Batch) -> Result<PackedBatch, TrainError> {
        let mut packed = PackedBatch::new();
        for (view, sentences) in [&batch.view1, &batch.view2].into_iter().enumerate() {
            let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
            let prompted = self.prompt.tokenize(&self.tokenizer, &sentences, self.max_length)?;
            for (sentence, tokens) in prompted.tokens.iter().enumerate() {
                let id = SequenceId { view: view as u32, sentence: sentence as u32 };
                self.encoder.push(&mut packed, tokens, id, self.max_length);
                packed.leave_out_of_last(prompted.left_out);
            }
        }
        Ok(packed)
    }
}
