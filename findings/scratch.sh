# Sourced by every script here: `scratch PACKAGE==VERSION ...` makes a temporary folder with an
# environment of its own, goes there, and removes it at the end. Then `python` is that one.
scratch() {
    folder="$(mktemp -d)"
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    python3 -m venv venv
    PATH="$folder/venv/bin:$PATH"
    unset PYTHONPATH
    pip install --quiet --disable-pip-version-check "$@"
}
