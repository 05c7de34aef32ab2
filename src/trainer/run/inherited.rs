//! What a run takes over from the model's folder as it is: a prompt, and modules after pooling.

use super::{Observer, Run};

impl Run {
    /// What of the model's folder is in force in training, and not trained.
    pub(super) fn tell_of_the_model(&self, observer: &mut dyn Observer) {
        let (prompt, modules) = (&self.model.prompt.text, &self.model.encoder.modules);
        if !prompt.is_empty() {
            let pooled = if self.model.prompt.left_out { ", left out of pooling" } else { "" };
            observer.note(&format!("prompt {prompt:?} before each sentence (default_prompt_name{pooled})"));
        }
        if !modules.is_empty() {
            observer.note(&format!("after pooling, and not trained: {modules}"));
        }
    }
}
