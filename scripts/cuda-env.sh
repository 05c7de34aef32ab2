#!/usr/bin/env bash
# Source me:  . scripts/cuda-env.sh
#
# Prepares a CUDA 13.0 build tree in target/cuda13 (or in MIRROR_CUDA_TREE) and exports what cargo needs for
# `--features cuda`.
# No GPU, driver or installed CUDA toolkit is needed: the compiler and its headers are Python wheels (about 110 MB,
# downloaded once), and the libraries to link against are made here. The prepared tree is kept; sourcing again takes a
# moment. docs/cuda.md describes how to build and run.
#
# The program must start on machines without a driver, but candle links the CUDA libraries dynamically. So -lcuda,
# -lcublas and so on resolve to archives of scripts/cuda_lazy_import.c, whose functions open the real library when they
# are first called and return an error where there is none.
#
# CUDA_COMPUTE_CAP (default 80) is the oldest GPU generation that the program runs on: kernels are compiled to PTX, which
# the driver translates for its own GPU, of this generation or any later one.

_cuda_packages=(
    nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
    nvidia-cuda-cccl==13.0.85 nvidia-cuda-runtime==13.0.96
)

_cuda_fail() {
    echo "cuda-env: $*" >&2
    return 1
}

_cuda_require_tools() {
    [[ $(uname -sm) == "Linux x86_64" ]] ||
        _cuda_fail "the import libraries are written for Linux on x86_64; elsewhere install the CUDA toolkit and run cargo build --release --features cuda" || return 1
    command -v cargo >/dev/null || _cuda_fail "cargo is missing; install Rust from https://rustup.rs" || return 1
    command -v python3 >/dev/null || _cuda_fail "python3 is missing; apt-get install python3 python3-venv" || return 1
    local tool
    for tool in gcc g++ ar; do
        command -v $tool >/dev/null || _cuda_fail "$tool is missing; apt-get install build-essential" || return 1
    done
}

# The compiler: TREE/python is a virtual environment that holds the wheels.
_cuda_install_compiler() { # TREE
    local python=$1/python/bin/python
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        python3 -m venv --clear "$1/python" >&2 ||
            _cuda_fail "python3 cannot make a virtual environment; apt-get install python3-venv" || return 1
    fi
    "$python" -m pip install --quiet --disable-pip-version-check "${_cuda_packages[@]}" >&2 ||
        _cuda_fail "pip could not install ${_cuda_packages[*]}; see its message above" || return 1
}

# Where cargo keeps the source of the crate cudarc; downloads the crates that are missing.
_cuda_cudarc_source() { # REPOSITORY
    cargo metadata --format-version 1 --features cuda --manifest-path "$1/Cargo.toml" | python3 -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(next(os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == "cudarc"))' ||
        _cuda_fail "cargo could not fetch the crates that the feature cuda needs; see its message above"
}

# An archive with all functions of one library that cudarc may call.
_cuda_import_library() { # REPOSITORY TREE SYS_SOURCE NAME STATUS SONAME...
    local repository=$1 lib=$2/lib64 source=$3 name=$4 status=$5 sonames
    shift 5
    sonames=$(printf '"%s",' "$@")
    grep -ohE 'load::<_F>\("[A-Za-z0-9_]+"\)' "$source" | cut -d'"' -f2 | sort -u |
        awk '{ printf "FUNCTION(%d, %s)\n", NR - 1, $1 }' >"$lib/$name.functions"
    [[ -s $lib/$name.functions ]] ||
        _cuda_fail "$source names no functions; scripts/cuda-env.sh was written for cudarc 0.19" || return 1
    gcc -std=gnu11 -O1 -fPIC -Wall -Werror -DFUNCTIONS="\"$lib/$name.functions\"" -DSONAMES="$sonames" \
        -DNOT_LOADED="$status" -c "$repository/scripts/cuda_lazy_import.c" -o "$lib/$name.o" &&
        ar rcs "$lib/lib$name.a" "$lib/$name.o" ||
        _cuda_fail "the import library $name did not compile; see the message above"
}

# The statuses mean, in each library's own numbers, that there is no device or that the library was not initialized.
_cuda_import_libraries() { # REPOSITORY TREE
    local cudarc
    cudarc=$(_cuda_cudarc_source "$1") || return 1
    _cuda_import_library "$1" "$2" "$cudarc/src/driver/sys/mod.rs" cuda 100 libcuda.so.1 libcuda.so &&
        _cuda_import_library "$1" "$2" "$cudarc/src/cublas/sys/mod.rs" cublas 1 libcublas.so.13 &&
        _cuda_import_library "$1" "$2" "$cudarc/src/cublaslt/sys/mod.rs" cublasLt 1 libcublasLt.so.13 &&
        _cuda_import_library "$1" "$2" "$cudarc/src/curand/sys/mod.rs" curand 101 libcurand.so.10 &&
        _cuda_import_library "$1" "$2" "$cudarc/src/nvrtc/sys/mod.rs" nvrtc 11 libnvrtc.so.13
}

# nvcc, but quick where it does not matter: candle compiles its matrix products of quantized weights for every block size,
# which takes longer than everything else together, and mirror never calls them.
_cuda_nvcc() { # TOOLKIT
    cat <<NVCC
#!/bin/sh
for argument in "\$@"; do
    case \$argument in
    */mmq_gguf/*.cu | */mmvq_gguf.cu | */moe/*.cu | */quantized.cu | src/moe/*.cu | src/mmvq_gguf.cu | src/mmq_gguf/*.cu)
        exec '$1/bin/nvcc' --Ofast-compile=max --disable-warnings "\$@" ;;
    esac
done
exec '$1/bin/nvcc' --disable-warnings "\$@"
NVCC
}

# Makes the tree unless what it was made from is unchanged.
_cuda_prepare() { # REPOSITORY TREE
    local repository=$1 tree=$2 stamp toolkit folder
    stamp=$(cat "$repository/scripts/cuda-env.sh" "$repository/scripts/cuda_lazy_import.c" &&
        echo "$tree" && grep -A 1 '^name = "cudarc"' "$repository/Cargo.lock")
    [[ ! -f $tree/made-from || $(<"$tree/made-from") != "$stamp" ]] || return 0
    _cuda_require_tools || return 1
    echo "cuda-env: preparing $tree" >&2
    mkdir -p "$tree" && rm -rf "$tree"/{made-from,bin,include,nvvm,lib64} && mkdir -p "$tree"/{bin,lib64} || return 1
    _cuda_install_compiler "$tree" || return 1
    toolkit=$("$tree/python/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib") + "/nvidia/cu13")')
    for folder in include nvvm; do
        ln -s "$toolkit/$folder" "$tree/$folder" || return 1
    done
    _cuda_nvcc "$toolkit" >"$tree/bin/nvcc" && chmod +x "$tree/bin/nvcc" || return 1
    ln -s "$toolkit/lib/libcudart_static.a" "$tree/lib64/libcudart.a" || return 1
    _cuda_import_libraries "$repository" "$tree" || return 1
    echo "$stamp" >"$tree/made-from"
}

_cuda_export() { # TREE
    # cudarc looks for libraries below each of these.
    export CUDA_HOME=$1 CUDA_PATH=$1 CUDA_ROOT=$1 CUDA_TOOLKIT_ROOT_DIR=$1
    # candle-kernels links -lcudart without a search path.
    [[ :${LIBRARY_PATH:-}: == *:$1/lib64:* ]] || export LIBRARY_PATH=$1/lib64${LIBRARY_PATH:+:$LIBRARY_PATH}
    export NVCC=$1/bin/nvcc NVCC_CCBIN=${NVCC_CCBIN:-$(command -v g++)}
    export CUDARC_CUDA_VERSION=13000
    export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
    export CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-$(nproc)}
}

_cuda_environment() {
    local repository tree
    repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || return 1
    # Not an argument: a sourced script without arguments sees those of whoever sources it.
    tree=${MIRROR_CUDA_TREE:-$repository/target/cuda13}
    mkdir -p "$tree" && tree=$(cd "$tree" && pwd) || return 1
    _cuda_prepare "$repository" "$tree" && _cuda_export "$tree"
}

_cuda_environment
