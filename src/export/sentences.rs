//! Sentences that an exported graph is tried on: what text can be, rather than what it mostly is.

/// Ordinary ones of different lengths, and all kinds of odd ones.
pub const SENTENCES: [&str; 40] = [
    "A man is playing a guitar.",
    "Someone plays music on a stringed instrument while a crowd of people listens in the park.",
    "Two dogs run over the green fields.",
    "The stock market fell sharply on Monday after the central bank raised interest rates again.",
    "Yes",
    "a",
    "7",
    "?",
    "",
    " ",
    "\t\t \u{a0}\u{3000} \u{200b}",
    "   leading and trailing blanks   ",
    "several  blanks\tand\ttabs   between words",
    "ALL CAPITAL LETTERS IN THIS ONE",
    "MiXeD cAsE aNd 1234567890 numbers, 3.14159, 1e-5 and 10,000",
    "e-mail@example.org wrote on https://example.org/a?b=c&d=e#f",
    "don't can't won't it's \u{201c}quoted\u{201d} \u{2018}words\u{2019} \u{2014} dashes\u{2026}",
    "fn main() { println!(\"{}\", 1 + 1); } // code",
    "Zażółć gęślą jaźń, größere Straßen, naïve façade, œuvre",
    "Съешь же ещё этих мягких французских булок",
    "Η γρήγορη καφέ αλεπού",
    "敏捷的棕色狐狸跳过了懒狗。",
    "速い茶色の狐がのろまな犬を飛び越える",
    "다람쥐 헌 쳇바퀴에 타고파",
    "الثعلب البني السريع يقفز فوق الكلب الكسول",
    "השועל החום המהיר קופץ מעל הכלב העצלן",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "😀 👩‍👩‍👧‍👦 🇩🇪 🏳️‍🌈 ✌🏽",
    "e\u{301}a\u{308}o\u{302} combining, Z\u{351}\u{36b}\u{343}a\u{35b}\u{301}lgo",
    "ﬁ ligature, ① circled, Ａ full width, ½ half",
    "zero\u{200d}width\u{200c}joiners \u{202e}and directions\u{202c}",
    "control \u{1} \u{7f} \u{85} characters and a replacement \u{fffd}",
    "[CLS] [SEP] [MASK] [PAD] [UNK] in the text",
    "<s> </s> <mask> <pad> <unk> in the text",
    "[PAD]",
    "<pad> <pad> first",
    "supercalifragilisticexpialidociousantidisestablishmentarianismpneumonoultramicroscopic",
    "!!! ??? ... --- *** ### @@@ $$$ %%% ^^^ &&&",
    "the same words the same words the same words the same words the same words",
];

/// One that is longer than any model reads.
pub fn endless() -> String {
    "It goes on and on, and nobody knows when it will come to its end; ".repeat(400)
}
