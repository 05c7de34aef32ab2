//! What decides a tokenizer's rules beside its vocabulary: the class that Python would take, and its switches.

use serde_json::{Map, Value};
use tokenizers::AddedToken;

/// A class of transformers' tokenizers, as far as it changes the ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenizerClass {
    /// Sets lower-casing, accents and Chinese characters from tokenizer_config.json.
    Bert,
    /// The same rules with RoBERTa's special tokens.
    Mpnet,
    /// Sets add_prefix_space from tokenizer_config.json.
    Roberta,
    /// The same, for tokens that begin with ▁ (XLM-RoBERTa, CamemBERT).
    SentencePiece,
    /// Takes tokenizer.json as it is.
    FromJson,
}

impl TokenizerClass {
    /// Whether it has BERT's rules: WordPiece on words, with switches in tokenizer_config.json.
    pub fn is_word_piece(self) -> bool {
        matches!(self, TokenizerClass::Bert | TokenizerClass::Mpnet)
    }

    /// Whether its own mask takes the blank before it, as a word of the text would.
    pub fn masks_with_blank(self) -> bool {
        matches!(self, TokenizerClass::Roberta | TokenizerClass::Mpnet)
    }
}

/// The roles in the order in which `transformers` gives ids to tokens that the vocabulary lacks.
pub(crate) const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// tokenizer_config.json with its neighbours merged in; defaults are those of the Python classes.
pub(crate) struct TokenizerConfig {
    /// The class that decides: [`TokenizerClass::FromJson`] where tokenizer.json has another kind of model.
    pub class: TokenizerClass,
    /// The class's name, where the folder names one.
    pub class_name: Option<String>,
    /// tokenizer_config.json as it was, empty where the folder has none.
    pub json: Map<String, Value>,
    pub do_lower_case: bool,
    pub tokenize_chinese_chars: bool,
    /// None: accents are stripped where text is lower-cased.
    pub strip_accents: Option<bool>,
    pub add_prefix_space: bool,
    pub trim_offsets: bool,
    /// `model_max_length`, where it is a length and not the 1e30 that stands for no limit.
    pub model_max_length: Option<usize>,
    pub truncate_left: bool,
    /// Special tokens that the files name, by role.
    pub special: Vec<(&'static str, AddedToken)>,
    /// Tokens beyond the vocabulary with the ids that the files give them, in order of id.
    pub added: Vec<(u32, AddedToken)>,
    /// Further special tokens without a role.
    pub extra: Vec<AddedToken>,
}

impl TokenizerConfig {
    /// The token that the files or, failing them, the class name for `role`.
    pub fn token(&self, role: &str) -> Option<&str> {
        let named =
            self.special.iter().find(|(name, _)| *name == role).map(|(_, token)| token.content.as_str());
        named.or_else(|| self.default_token(role))
    }

    /// The class's own name for `role`; a folder without a class has none.
    pub fn default_token(&self, role: &str) -> Option<&'static str> {
        let index = ROLES.iter().position(|name| *name == role)?;
        match self.class {
            TokenizerClass::Bert => {
                [None, None, Some("[UNK]"), Some("[SEP]"), Some("[PAD]"), Some("[CLS]"), Some("[MASK]")]
                    [index]
            }
            TokenizerClass::Mpnet => Some(["<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"][index]),
            TokenizerClass::Roberta | TokenizerClass::SentencePiece => {
                Some(["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"][index])
            }
            TokenizerClass::FromJson => None,
        }
    }
}
