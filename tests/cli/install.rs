//! Completions and manual pages name what the program has.

use crate::workspace::Workspace;

#[test]
fn completions_know_commands_and_flags() {
    let workspace = Workspace::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = workspace.run(&format!("completions {shell}")).stdout;
        for word in ["train", "export", "learning-rate", "onnxruntime"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = workspace.write("mirror.bash", workspace.run("completions bash").stdout);
    let checked = std::process::Command::new("bash").arg("-n").arg(script).status().unwrap();
    assert!(checked.success());
}

#[test]
fn each_command_has_a_manual_page() {
    let workspace = Workspace::new();
    workspace.run("man share/man1");
    for (page, word) in [
        ("mirror.1", "mirror\\-train(1)"),
        ("mirror-train.1", "delta"),
        ("mirror-eval.1", "convention"),
        ("mirror-data-fetch.1", "SentEval"),
    ] {
        let text = String::from_utf8(workspace.read(&format!("share/man1/{page}"))).unwrap();
        assert!(text.contains(word), "{page}: {text}");
    }
    // Written again over its own; what others wrote stays, and then nothing else is written either.
    workspace.run("man share/man1");
    workspace.write("others/mirror-train.1", ".TH mirror-train 1\n");
    workspace.mirror("man others").assert().code(1);
    assert_eq!(workspace.read("others/mirror-train.1"), b".TH mirror-train 1\n");
    assert!(!workspace.path("others/mirror.1").exists());
    workspace.run("man others --overwrite");
    assert_ne!(workspace.read("others/mirror-train.1"), b".TH mirror-train 1\n");
    std::fs::create_dir_all(workspace.path("folders/mirror.1")).unwrap();
    workspace.mirror("man folders").assert().code(1);
    workspace.write("file", "taken");
    workspace.mirror("man file").assert().code(1);
    assert_eq!(workspace.read("file"), b"taken");
}
