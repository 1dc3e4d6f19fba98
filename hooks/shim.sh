# Made by `git archive-tomb hooks install`; `git archive-tomb hooks uninstall` puts back what was here before.
# The digest above covers all that follows: a change shows as an edit and is not overwritten unasked.
# Checks of your own belong into the file $hook.archive-tomb-chained beside this one; it runs first.
hook=@HOOK@
recorded=@PROGRAM@

# Hooks started from a graphical client have a short PATH, hence the place recorded at installation.
archive_tomb() {
    program=$(command -v git-archive-tomb) || program=$recorded
    if [ -f "$program" ] && [ -x "$program" ]; then
        exec "$program" hooks run --shim @VERSION@ "$hook" -- "$@"
    fi
    printf '%s\n' >&2 \
        "error: hook $hook needs git-archive-tomb, which is neither on PATH nor where it was at installation" \
        'hint: install it again, or skip the hook once with --no-verify'
    exit 1
}

# Another tool may have renamed this file and call it, so the name comes from $hook and only the folder from $0.
case $0 in
*/*) chained=${0%/*}/$hook.archive-tomb-chained ;;
*) chained=./$hook.archive-tomb-chained ;;
esac

if [ ! -x "$chained" ]; then
    archive_tomb "$@"
elif [ "$hook" = pre-push ]; then
    # What is pushed comes once, on stdin: both get it. The dot keeps the shell from dropping the last newlines.
    # Without the folders of the system's own programs on PATH it would be lost, and with it the check.
    pushed=$(PATH=${PATH:+$PATH:}/usr/bin:/bin; cat && echo .) || exit
    printf %s "${pushed%.}" 2>/dev/null | "$chained" "$@" || exit
    printf %s "${pushed%.}" 2>/dev/null | archive_tomb "$@"
else
    "$chained" "$@" || exit
    archive_tomb "$@"
fi
