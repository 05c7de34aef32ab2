//! What a model's folder holds: modules, pooling and prompts, its tokenizer, and a whole model in use.

mod minilm;
mod sentence_folder;
mod tokenizer;
