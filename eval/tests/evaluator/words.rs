//! Sets of word pairs in their published forms. The numbers are made up: the sets are not ours to ship.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use sts_eval::{Task, WordFolder};
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn tasks(folder: &Path) -> Vec<Task> {
    WordFolder::open(folder).unwrap().tasks().unwrap()
}

/// In order of their scores.
fn pairs(task: &Task) -> Vec<(f64, &str, &str)> {
    let mut pairs: Vec<_> = task.pairs().map(|p| (p.gold, p.first.as_str(), p.second.as_str())).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    pairs
}

fn refusal(files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    let error = WordFolder::open(folder.path()).and_then(|words| words.tasks()).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn every_published_form_gives_the_same_pairs() {
    let forms: [(&str, &[(&str, &str)]); 14] = [
        ("SimLex-999", &[("EN-SIMLEX-999.txt", "cold\twarm\t1.5\nbig\tlarge\t9.25\nice\tfire\t2\n")]),
        (
            "SimLex-999",
            &[(
                "SimLex-999/SimLex-999.txt",
                "word1\tword2\tPOS\tSimLex999\tconc(w1)\tconc(w2)\tconcQ\tAssoc(USF)\tSimAssoc333\tSD(SimLex)\r\n\
                 cold\twarm\tA\t1.5\t3\t4\t2\t7.25\t1\t0.4\r\nbig\tlarge\tA\t9.25\t3\t4\t2\t7.25\t1\t0.4\r\n\
                 ice\tfire\tN\t2\t5\t4\t2\t7.25\t1\t0.4\r\n",
            )],
        ),
        (
            "SimLex-999",
            &[(
                "any.csv",
                "\u{feff}word1,word2,POS,SimLex999\r\ncold,\"warm\",A,1.5\r\nbig,large,A,9.25\r\n\r\nice,fire,N,2.0",
            )],
        ),
        ("SimLex-999", &[("simlex999.txt", "# of somebody's\ncold warm 1.5\nbig large 9.25\nice fire 2\n")]),
        (
            "SimLex-999",
            &[("SimLex_999.TSV", "1\tcold\twarm\t1.5\t0\n2\tbig\tlarge\t9.25\t1\n3\tice\tfire\t2\t1\n")],
        ),
        (
            "SimVerb-3500",
            &[("EN-SimVerb-3500.txt", "cold\twarm\t1.5\r\nbig\tlarge\t9.25\r\nice\tfire\t2\r\n")],
        ),
        (
            "SimVerb-3500",
            &[(
                "data/SimVerb-3500.txt",
                "cold\twarm\tV\t1.5\tANTONYMS\nbig\tlarge\tV\t9.25\tSYNONYMS\nice\tfire\tV\t2\tNONE\n",
            )],
        ),
        (
            "SimVerb-3500",
            &[("simverb3500.csv", "verb1;verb2;score\ncold;warm;1.5\nbig;large;9.25\nice;fire;2\n")],
        ),
        (
            "Multi-SimLex",
            &[(
                "multisimlex-en.tsv",
                "cold\twarm\t1.5\tadjectives\nbig\tlarge\t9.25\tadjectives\nice\tfire\t2\tnouns\n",
            )],
        ),
        (
            "Multi-SimLex",
            &[(
                "ENG-SimLex.csv",
                "id,Word 1,Word 2,Annotator1,Annotator2\n1,cold,warm,1,2\n2,big,large,9.25,\n3,ice,fire,3,1\n",
            )],
        ),
        (
            "Multi-SimLex",
            &[
                (
                    "translation.csv",
                    "ID,CMN 1,CMN 2,ENG 1,ENG 2\n1,冷,暖,cold,warm\n2,大,巨,big,large\n3,冰,火,ice,fire\n",
                ),
                ("scores.csv", "ID,CMN,ENG\n1,3,1.5\n2,4,9.25\n3,0,2\n"),
            ],
        ),
        (
            "Multi-SimLex",
            &[
                ("translation.csv", "ENG 1,ENG 2,FRA 1\ncold,warm,froid\nbig,large,grand\nice,fire,\n"),
                ("scores.csv", "ENG,FRA\n1.5,3\n9.25,4\n2,\n"),
            ],
        ),
        (
            "Multi-SimLex",
            &[(
                "all.tsv",
                "ENG 1\tENG 2\tENG\tCMN\ncold\twarm\t1.5\t\nbig\tlarge\t9.25\t3\nice\tfire\t2\t1\n",
            )],
        ),
        // Its words could be a header's.
        ("SimLex-999", &[("simlex-999.tsv", "cold\twarm\t1.5\nbig\tlarge\t9.25\nice\tfire\t2\n")]),
    ];
    for (name, files) in forms {
        let folder = folder(files);
        let tasks = tasks(folder.path());
        assert_eq!(tasks.len(), 1, "{files:?}");
        assert_eq!(tasks[0].name, name, "{files:?}");
        assert_eq!(
            pairs(&tasks[0]),
            [(1.5, "cold", "warm"), (2.0, "ice", "fire"), (9.25, "big", "large")],
            "{files:?}"
        );
    }
}

#[test]
fn words_that_a_header_may_have_are_words() {
    let folder = folder(&[("simlex-999.txt", "mean\taverage\t8.5\nfirst\tsecond\t3\nscore\trating\t6\n")]);
    let tasks = tasks(folder.path());
    assert_eq!(pairs(&tasks[0]).len(), 3);
}

#[test]
fn parts_of_speech_are_subsets() {
    let folder = folder(&[
        ("multisimlex-en.tsv", "a\tb\t1\tnouns\nc\td\t2\tverbs\ne\tf\t3\tnouns\n"),
        ("SimVerb-3500.txt", "a\tb\tV\t1\tNONE\nc\td\tV\t2\tNONE\n"),
    ]);
    let tasks = tasks(folder.path());
    let subsets: Vec<Vec<(&str, usize)>> =
        tasks.iter().map(|t| t.subsets.iter().map(|s| (s.name.as_str(), s.pairs.len())).collect()).collect();
    assert_eq!(subsets, [vec![("nouns", 2), ("verbs", 1)], vec![("verbs", 2)]]);
}

#[test]
fn a_folder_may_have_any_of_the_sets_beside_anything_else() {
    let one = "a\tb\t1\nc\td\t2\n";
    let folder = folder(&[
        ("EN-SimVerb-3500.txt", one),
        ("multisimlex-en.tsv", one),
        ("README.md", "# Words"),
        ("en_words_top_10k.txt", "the\nof\nand\n"),
        ("picture.csv", "\u{0}\u{1}"),
        ("scores.csv", "name,score\nx,1\n"),
        ("SimVerb-500-dev.txt", one),
        ("simlex-german.tsv", one),
        (".hidden/SimLex-999.txt", one),
    ]);
    let words = WordFolder::open(folder.path()).unwrap();
    let names: Vec<_> = words.sets().map(|set| set.key()).collect();
    assert_eq!(names, ["Multi-SimLex", "SimVerb-3500"]);
    let unknown: Vec<_> =
        words.unknown().iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(unknown, ["SimVerb-500-dev.txt", "simlex-german.tsv"]);
}

#[test]
fn damaged_files_are_refused_by_file_and_line() {
    let good = "a\tb\t1\nc\td\t2\ne\tf\t3\n";
    for (files, says) in [
        (
            vec![("SimLex-999.txt", "a\tb\tone\nc\td\t2\ne\tf\t3\n")],
            "SimLex-999.txt, line 1: the gold score \"one\" is not a finite number; a header names",
        ),
        (
            vec![("SimLex-999.txt", "a\tb\t1\nc\td\t\ne\tf\t3\n")],
            "SimLex-999.txt, line 2: 2 columns where word, word and score are needed",
        ),
        (
            vec![("SimLex-999.txt", "a\tb\t1\nc\td\tx\t7\ne\tf\t3\n")],
            "SimLex-999.txt, line 2: 4 columns where the other lines have fewer",
        ),
        (vec![("SimLex-999.txt", "a\tb\t1\n\nc\n")], "SimLex-999.txt, line 3: 1 column where"),
        (
            vec![("SimLex-999.txt", "a\tb\t1\nc\td\t2\te\tf\t3\ng\th\t4\n")],
            "SimLex-999.txt, line 2: 6 columns where the other lines have fewer",
        ),
        (vec![("SimLex-999.txt", "a\tb\t1\n\td\t2\n")], "SimLex-999.txt, line 2: a word is missing"),
        (
            vec![("SimLex-999.txt", "a\tb\t1\nc\td\t2,5\n")],
            "line 2: the gold score \"2,5\" is not a finite number; write it with a decimal point",
        ),
        (vec![("SimLex-999.txt", "a\tb\t1\nc\td\tNaN\n")], "line 2: the gold score \"NaN\""),
        (vec![("simverb3500.csv", "a,b,1\n\"c,d,2\ne,f,3\n")], "simverb3500.csv, line 2: 1 column where"),
        (
            vec![("SimLex-999.txt", "word1\tword2\tPOS\na\tb\tN\n")],
            "SimLex-999.txt, line 1: the header has no column score; the known columns are word1",
        ),
        (
            vec![("SimLex-999.txt", "left\tright\trating\na\tb\t1\n")],
            "SimLex-999.txt, line 1: the header has no column word1",
        ),
        (vec![("SimLex-999.txt", "")], "SimLex-999.txt holds no pair"),
        (vec![("SimLex-999.txt", "the\nof\nand\n")], "SimLex-999.txt, line 1: 1 column where"),
        (
            vec![("SimLex-999.txt", good), ("more/EN-SIMLEX-999.txt", good)],
            "SimLex-999 is there twice, as SimLex-999.txt and more/EN-SIMLEX-999.txt",
        ),
        (
            vec![("translation.csv", "ID,ENG 1,ENG 2\n1,a,b\n")],
            "Multi-SimLex is incomplete: scores.csv is missing",
        ),
        (vec![("scores.csv", "ID,ENG\n1,2\n")], "Multi-SimLex is incomplete: translation.csv is missing"),
        (
            vec![("translation.csv", "ID,ENG 1,ENG 2\n1,a,b\n2,c,d\n"), ("scores.csv", "ID,ENG\n1,2\n")],
            "translation.csv has 2 lines but scores.csv has 1",
        ),
        (
            vec![("translation.csv", "ID,ENG 1,ENG 2\n1,a,b\n2,c,d\n"), ("scores.csv", "ID,ENG\n2,2\n1,3\n")],
            "scores.csv, line 2: the score is of pair 2, where the words are of pair 1",
        ),
        (
            vec![("translation.csv", "ID,ENG 1,ENG 2\n1,a,b\n2,c,d\n"), ("scores.csv", "ID,ENG\n1,2\n2,\n")],
            "scores.csv, line 3: 1 column where",
        ),
        (
            vec![("notes.txt", "nothing")],
            "holds no set of word pairs that is known; these are Multi-SimLex (multisimlex-en.tsv",
        ),
    ] {
        let error = refusal(&files);
        assert!(error.contains(says), "{files:?}\n{error}");
    }
    let absent = WordFolder::open("no such folder").unwrap_err().to_string();
    assert!(absent.contains("no such folder is no folder") && absent.contains("SimLex-999.txt"), "{absent}");
    let folder = folder(&[("SimLex-999.txt", good)]);
    fs::write(folder.path().join("SimVerb-3500.txt"), b"a\tb\t1\n\xff\xfe\t\xff\t2\n").unwrap();
    let error = WordFolder::open(folder.path()).unwrap().tasks().unwrap_err().to_string();
    assert!(error.contains("SimVerb-3500.txt") && error.contains("UTF-8"), "{error}");
}

proptest! {
    /// Whatever a file holds, reading it ends in pairs or in an error, never in a panic.
    #[test]
    fn any_text_is_read_or_refused(text in "[\\PC\t\n\r\",;#a0-9]{0,80}", name in "SimLex-999[.]txt|scores[.]csv|ENG-SimLex[.]csv|x[.]tsv") {
        let folder = folder(&[(&name, &text), ("translation.csv", "ENG 1,ENG 2\na,b\n")]);
        if let Ok(read) = WordFolder::open(folder.path()).and_then(|words| words.tasks()) {
            prop_assert!(read.iter().all(|task| task.pair_count() > 0));
        }
    }
}
