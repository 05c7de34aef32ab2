//! The import library that the CUDA build links in place of NVIDIA's libraries, tried on a library of our own: calls
//! reach it with their arguments intact, and fail with the status where the library or a function is missing.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::Path;
use std::process::Command;

/// Takes more arguments of each class than there are registers for.
const LIBRARY: &str = "
    int integers(int a, int b, int c, int d, int e, int f, int g, int h) {
        return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h;
    }
    double reals(double a, float b, double c, double d, double e, double f, double g, double h, double i) {
        return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i;
    }
    void *echo(void *pointer) { return pointer; }
";

/// Calls everything twice: the first call finds the function, the second goes straight there.
const PROGRAM: &str = r#"
    #include <stdio.h>
    int integers(int, int, int, int, int, int, int, int);
    double reals(double, float, double, double, double, double, double, double, double);
    void *echo(void *);
    int absent(int);
    int main(void) {
        int here;
        for (int i = 0; i < 2; i++) {
            printf("%d ", integers(1, 2, 3, 4, 5, 6, 7, 8));
            printf("%g ", reals(1, 2, 3, 4, 5, 6, 7, 8, 0.5));
            printf("%d %d\n", echo(&here) == &here, absent(3));
        }
    }
"#;

/// Says only what a program without the library may call.
const WITHOUT: &str = r#"
    #include <stdio.h>
    int integers(int, int, int, int, int, int, int, int);
    int main(void) { printf("%d %d\n", integers(1, 2, 3, 4, 5, 6, 7, 8), integers(0, 0, 0, 0, 0, 0, 0, 0)); }
"#;

fn compile(folder: &Path, arguments: &[&str]) {
    let status = Command::new("cc").current_dir(folder).args(arguments).status().unwrap();
    assert!(status.success(), "cc {arguments:?}");
}

fn output(folder: &Path, program: &str) -> String {
    let run = Command::new(folder.join(program)).env("LD_LIBRARY_PATH", folder).output().unwrap();
    assert!(run.status.success(), "{program}: {}", run.status);
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn calls_reach_the_library_or_fail_with_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("real.c", LIBRARY);
    write("program.c", PROGRAM);
    write("without.c", WITHOUT);
    write("functions", "FUNCTION(0, integers)\nFUNCTION(1, reals)\nFUNCTION(2, echo)\nFUNCTION(3, absent)\n");
    let import = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cuda_lazy_import.c");
    let functions = format!("-DFUNCTIONS=\"{}\"", folder.join("functions").display());
    compile(folder, &["-shared", "-fPIC", "-o", "libreal.so.7", "real.c"]);
    // The first name is nowhere, the second is found.
    let sonames = "-DSONAMES=\"libreal.so.9\", \"libreal.so.7\",";
    compile(
        folder,
        &[
            "-O1",
            "-fPIC",
            "-c",
            &functions,
            sonames,
            "-DNOT_LOADED=100",
            import.to_str().unwrap(),
            "-o",
            "import.o",
        ],
    );
    compile(folder, &["-o", "program", "program.c", "import.o"]);
    compile(folder, &["-o", "without", "without.c", "import.o"]);

    assert_eq!(output(folder, "program"), "204 208.5 1 100\n204 208.5 1 100\n");
    std::fs::remove_file(folder.join("libreal.so.7")).unwrap();
    assert_eq!(output(folder, "without"), "100 100\n");
}
