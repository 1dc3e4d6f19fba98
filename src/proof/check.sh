#!/bin/sh
# Checks a proof of git-archive-tomb, in its folder. Needs sha256sum, and ssh-keygen for signatures; changes nothing.
# Whose signatures count is yours to say: SIGNERS=/your/own/list sh check.sh (and REVOKED=/your/list/of/revoked/keys)
set -eu
export LC_ALL=C TZ=UTC0
signers=${SIGNERS:-allowed_signers}
revoked=${REVOKED:-revoked}
notes=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
note() {
    echo "NOTE: $*"
    notes=$((notes + 1))
}
# Prints the key whose signature over a text this is; fails where it is none. $1: the text, $2: the signature
key() {
    ssh-keygen -Y check-novalidate -n git-archive-tomb -s "$2" <"$1" 2>/dev/null | sed -n 's/^Good .* with //p'
}
# Prints who of the allowed signers signed a text at a moment; fails where nobody did. $3: when
signer() {
    ssh-keygen -Y find-principals -Overify-time="$3" -s "$2" -f "$signers" </dev/null >"$work/signers" 2>/dev/null || return 1
    set -- "$1" "$2" -Overify-time="$3"
    [ ! -e "$revoked" ] || set -- "$@" -r "$revoked"
    text=$1 signature=$2
    shift 2
    while IFS= read -r by; do
        ssh-keygen -Y verify "$@" -n git-archive-tomb -s "$signature" -f "$signers" -I "$by" <"$text" >/dev/null 2>&1 || continue
        echo "$by"
        return 0
    done <"$work/signers"
    return 1
}
# The moment of a time, as ssh-keygen takes it.
moment() {
    sed 's/^\(....\)-\(..\)-\(..\)T\(..\):\(..\):\(..\).*/\1\2\3\4\5\6/'
}
# The e-mail address of whom an actor or a signer names, or else the name.
person() {
    printf '%s\n' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/.*<\([^<>]*\)>.*/\1/'
}

# 1. The files are those of the manifest, byte for byte, and there are no others; but for what a kill leaves, which is empty.
for file in README.txt about.json absent.txt archive-only.jsonl commits.txt heads.txt item.json records.jsonl; do
    [ -f "$file" ] || fail "there is no $file"
done
[ -z "$(find . ! -type f ! -type d)" ] || fail "there is something else than files"
[ ! -s lock ] || fail "the file lock is not empty"
find . -type f ! -path ./SHA256SUMS ! -path ./lock | sort >"$work/all"
other=$(sed -E -e '/^\.\/((README|absent|commits|heads|stub)\.txt|check\.sh|(about|item)\.json|(archive-only|records)\.jsonl)$/d' \
    -e '/^\.\/(allowed_signers|revoked|(\.codex\/evidence\/(ops|checkpoints)|lists)\/[A-Za-z0-9.\/_-]+)$/d' "$work/all")
[ -z "$other" ] || fail "there are files that are none of a proof: $other"
xargs sha256sum <"$work/all" | cmp - SHA256SUMS || fail "the files are not those of SHA256SUMS"

# 2. Each evidence file has the digest that its name ends with.
find .codex/evidence/ops -type f | sort >"$work/files"
xargs sha256sum <"$work/files" >"$work/sums"
wrong=$(sed 's/^\(................\).*-\(................\)\.jsonl$/\1 \2/' "$work/sums" | awk '$1 != $2')
[ -z "$wrong" ] || fail "evidence under a name that is not its own: $wrong"

# 3. Evidence names the evidence before it. What is named is here, but for absent.txt; what nobody names is in heads.txt.
cut -c 1-64 "$work/sums" | sort >"$work/here"
xargs sed -n 's/.*"prev":\[\([^]]*\)\].*/\1/p' <"$work/files" | tr ',' '\n' | tr -d '"' | sort -u >"$work/named"
comm -13 "$work/here" "$work/named" | cmp - absent.txt || fail "evidence was left out"
comm -23 "$work/here" "$work/named" | cmp - heads.txt || fail "the newest evidence is not that of heads.txt"
echo "evidence: $(wc -l <"$work/here" | tr -d ' ') files, $(wc -l <heads.txt | tr -d ' ') of them the newest"
[ ! -s absent.txt ] || note "absent.txt lists evidence that is named here and was not at hand"

# 4. All that evidence says of the item is in records.jsonl, by time; item.json and stub.txt are what was recorded of it.
item=$(sed -n 's/^{"schema":"archive-proof\/1",.*"tombstone":"\([0-9a-f-]*\)","sha256":.*/\1/p' item.json)
[ -n "$item" ] || fail "item.json names no item"
xargs cat <"$work/files" | grep -F "\"tombstone\":\"$item\"" | awk '!seen[$0]++' | sort -s -t '"' -k 8,8 >"$work/records" || :
cmp records.jsonl "$work/records" || fail "records.jsonl is not what evidence says of the item, in its order"
string='"([^"\\]|\\.)*"'
facts="(,\"repo\":$string,\"path(_b64)?\":$string,\"tombstone\":\"$item\",\"sha256\":\"[^\"]*\",\"size\":[0-9]+)"
facts="$facts(,\"compressed_size\":[0-9]+)?(,\"object\":\"[^\"]*\",\"mode\":\"[^\"]*\",\"commit\":\"[^\"]*\")[,}]"
sed -nE "s/^\{\"schema\":\"archive-proof\/1\"$facts.*/\1\6/p" item.json >"$work/item"
begin='^\{"schema":"[^"]*","ts":"[^"]*","level":"[a-z]*","action":"[A-Z_]*","op":"[^"]*"'
! grep -qvE "$begin[,}]" records.jsonl || fail "records.jsonl has what is no record"
grep '^[^{]*{[^{]*"action":"ARCHIVE"' records.jsonl | sed -E "s/$begin(,\"actor\":$string)?//" | sed -nE "s/^$facts.*/\1\6/p" >"$work/archived"
if [ ! -s "$work/archived" ]; then
    note "no evidence says that the item was archived: item.json is a claim"
elif [ ! -s "$work/item" ] || ! grep -qxFf "$work/item" "$work/archived"; then
    fail "item.json is not the item that was archived"
fi
if [ -e stub.txt ]; then
    zeros=$(printf '%064d' 0)
    stub=$(sed "s/\(evidence[\": ]*\)[0-9a-f]\{64\}/\1$zeros/" stub.txt | sha256sum | cut -c 1-64)
    grep -qF "\"stub\":\"$stub\"" records.jsonl || fail "stub.txt is not the stub that was recorded"
else
    note "there is no stub.txt: no stub stood for the item when this was made"
fi
echo "item $item: $(wc -l <records.jsonl | tr -d ' ') records in evidence"

# 5. Each record of governance was signed as it stands, by whom it says.
[ -z "${SIGNERS:-}" ] || [ -f "$SIGNERS" ] || fail "there is no file $SIGNERS"
[ -e "$signers" ] || note "who signed was not checked: there is no list of allowed signers, name one with SIGNERS"
while IFS= read -r line; do
    what=$(printf '%s\n' "$line" | sed 's/^{"schema":"[^"]*","ts":"\([^"]*\)","level":"[a-z]*","action":"\([A-Z_]*\)".*/\2 of \1/')
    case $what in
    PRUNE_REQUEST* | REQUEST_WITHDRAWN* | DELETE_APPROVED* | RESTORE_APPROVED* | HOLD_SET* | HOLD_RELEASED*) ;;
    *) continue ;;
    esac
    case $line in
    *',"signature":"'*) ;;
    *)
        [ ! -e "$signers" ] || note "$what is not signed: a claim"
        continue
        ;;
    esac
    {
        echo 'git-archive-tomb governance v1'
        printf '%s\n' "$line" | sed -e 's/,"signature":"[^"]*"//' -e 's/,"count":[0-9][0-9]*//' -e 's/,"prev":\[[^]]*\]//'
    } >"$work/text"
    printf '%b' "$(printf '%s\n' "$line" | sed 's/.*,"signature":"\([^"]*\)".*/\1/')" >"$work/signature"
    key=$(key "$work/text" "$work/signature")
    [ -n "$key" ] || fail "$what is not what was signed"
    [ -e "$signers" ] || continue
    actor=$(printf '%s\n' "$line" | sed -nE "s/$begin,\"actor\":($string).*/\1/p" | sed 's/^"\(.*\)"$/\1/')
    if ! by=$(signer "$work/text" "$work/signature" "$(echo "${what##* }" | moment)"); then
        note "$what, of $actor, is signed by a key of no allowed signer: $key"
    elif [ "$(person "$actor")" != "$(person "$by")" ]; then
        note "$what, of $actor, is signed by $by"
    else
        echo "$what: signed by $by"
    fi
done <records.jsonl

# 6. Each checkpoint was signed, and all the evidence that it vouches for is here.
for checkpoint in .codex/evidence/checkpoints/*.txt; do
    [ -e "$checkpoint" ] || continue
    sed '/^-----BEGIN SSH SIGNATURE-----$/,$d' "$checkpoint" >"$work/statement"
    sed -n '/^-----BEGIN SSH SIGNATURE-----$/,$p' "$checkpoint" >"$work/statement.sig"
    list=lists/${checkpoint##*/}
    [ "$(sed -n 's/^count: //p' "$work/statement")" = "$(wc -l <"$list" | tr -d ' ')" ] || fail "$list is not whole"
    [ "$(sed -n 's/^evidence: //p' "$work/statement")" = "$(sha256sum <"$list" | cut -c 1-64)" ] || fail "$list is another"
    [ -z "$(comm -23 "$list" "$work/here")" ] || fail "evidence is missing that $checkpoint vouches for"
    key=$(key "$work/statement" "$work/statement.sig")
    [ -n "$key" ] || fail "$checkpoint is not what was signed"
    [ -e "$signers" ] || continue
    time=$(sed -n 's/^time: //p' "$work/statement")
    if by=$(signer "$work/statement" "$work/statement.sig" "$(echo "$time" | moment)"); then
        echo "checkpoint of $time: $(wc -l <"$list" | tr -d ' ') files, signed by $by"
    else
        note "the checkpoint of $time is signed by a key of no allowed signer: $key"
    fi
done
case $notes in
0) echo "all of it holds" ;;
1) echo "all of it holds, but for what the note says" ;;
*) echo "all of it holds, but for what $notes notes say" ;;
esac
