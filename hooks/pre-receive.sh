#!/bin/sh
# A pre-receive hook for a server: refuses pushes whose stubs and evidence do not agree, and says why to whoever pushes.
# Copy it to hooks/pre-receive of the bare repository, executable. It only reads; docs/ci.md has the details.
#
# Forced pushes may not drop evidence. Branches for which they may, as patterns of a shell:
#     git config --add hooks.archiveTombMayRewrite 'refs/heads/wip/*'

if ! command -v git-archive-tomb >/dev/null; then
    echo 'error: this server checks pushes with git-archive-tomb, which its hooks do not find' >&2
    echo 'hint: whoever runs the server installs it, or names its folder in PATH in hooks/pre-receive' >&2
    exit 1
fi

may_rewrite() {
    git config --get-all hooks.archiveTombMayRewrite | {
        while IFS= read -r pattern; do
            # shellcheck disable=SC2254 # it is a pattern
            case $1 in $pattern) exit 0 ;; esac
        done
        exit 1
    }
}

refused=0
while read -r old new name; do
    # A branch that is deleted brings nothing. `receive.denyDeletes` keeps branches, if that is what you want.
    case $new in *[!0]*) ;; *) continue ;; esac
    # Nor does a tag of something that is no commit.
    new=$(git rev-parse --quiet --verify "$new^{commit}") || continue

    # So the commit before a tag of something else is none, as for what is new.
    old=$(git rev-parse --quiet --verify "$old^{commit}") || old=
    if [ -z "$old" ]; then
        # What the server has already was checked when it came.
        fresh=$(git rev-list --max-count=1 "$new" --not --all) || fresh=unknown
        if [ -z "$fresh" ]; then continue; fi
        scope=--range
        old=$(git merge-base HEAD "$new" 2>/dev/null) || old=0000000000000000000000000000000000000000
    elif may_rewrite "$name"; then
        scope=--range
    else
        scope=--update
    fi
    if ! told=$(git-archive-tomb verify "$scope" "$old..$new" </dev/null 2>&1); then
        printf '%s\n' "$name is refused: stubs and evidence do not agree" "$told"
        refused=1
    fi
done
exit "$refused"
