#!/bin/sh
# Checks a proof of git-archive-tomb, in its folder. Needs sha256sum, and ssh-keygen for signatures; changes nothing.
# Whose signatures count is yours to say: SIGNERS=/your/own/list sh check.sh
set -eu
export LC_ALL=C TZ=UTC0
signers=${SIGNERS:-allowed_signers}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
# Prints who of the allowed signers signed a text at a moment; fails where nobody did. $1: the text, $2: the signature, $3: when
signer() {
    revoked=
    [ ! -e revoked ] || revoked=-rrevoked
    ssh-keygen -Y find-principals -Overify-time="$3" -s "$2" -f "$signers" </dev/null >"$work/signers" 2>&1 || return 1
    by=$(head -n 1 "$work/signers")
    ssh-keygen -Y verify -Overify-time="$3" -n git-archive-tomb -s "$2" -f "$signers" -I "$by" $revoked <"$1" >/dev/null || return 1
    echo "$by"
}

# 1. The files are those of the manifest, byte for byte, and there are no others.
[ -z "$(find . ! -type f ! -type d)" ] || fail "there is something else than files"
find . -type f ! -path ./SHA256SUMS | sort | xargs sha256sum | cmp - SHA256SUMS || fail "the files are not those of SHA256SUMS"

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
[ ! -s absent.txt ] || echo "NOTE: absent.txt lists evidence that is named here and was not at hand"

# 4. All that evidence says of the item is in records.jsonl.
item=$(sed -n 's/^{"schema":"archive-proof\/1","tombstone":"\([0-9a-f-]*\)".*/\1/p' item.json)
[ -n "$item" ] || fail "item.json names no item"
xargs cat <"$work/files" | grep -F "\"tombstone\":\"$item\"" | sort -u >"$work/records" || :
sort records.jsonl | cmp - "$work/records" || fail "records.jsonl is not what evidence says of the item"
if [ -e stub.txt ]; then
    zeros=$(printf '%064d' 0)
    stub=$(sed "s/\(evidence[\": ]*\)[0-9a-f]\{64\}/\1$zeros/" stub.txt | sha256sum | cut -c 1-64)
    grep -qF "\"stub\":\"$stub\"" records.jsonl || fail "stub.txt is not the stub that was recorded"
fi
echo "item $item: $(wc -l <records.jsonl | tr -d ' ') records in evidence"

# 5. Each record of governance was signed as it stands, by whom it says.
if [ -e "$signers" ]; then
    number=0
    while IFS= read -r line; do
        case $line in *'"signature":"'*) ;; *) continue ;; esac
        number=$((number + 1))
        text=statements/$number.txt signature=statements/$number.sig
        what=$(printf '%s\n' "$line" | sed 's/^.*"ts":"\([^"]*\)","level":"[a-z]*","action":"\([A-Z_]*\)".*/\2 of \1/')
        if [ ! -e "$text" ]; then
            echo "NOTE: the signature of $what did not count when this was written"
            continue
        fi
        {
            echo 'git-archive-tomb governance v1'
            printf '%s\n' "$line" |
                sed -e 's/,"signature":"[^"]*"//' -e 's/,"count":[0-9][0-9]*//' -e 's/,"prev":\[[^]]*\]//'
        } | cmp - "$text" || fail "$text is not what the record says"
        printf '%b' "$(printf '%s\n' "$line" | sed 's/.*,"signature":"\([^"]*\)".*/\1/')" | cmp - "$signature" ||
            fail "$signature is not the record's"
        moment=$(sed -n '2s/^{"schema":"[^"]*","ts":"\(....\)-\(..\)-\(..\)T\(..\):\(..\):\(..\).*/\1\2\3\4\5\6/p' "$text")
        by=$(signer "$text" "$signature" "$moment") || fail "$signature is no signature of an allowed signer"
        echo "$what: signed by $by"
    done <records.jsonl
else
    echo "NOTE: signatures were not checked: there is no list of allowed signers, name one with SIGNERS"
fi

# 6. Each checkpoint was signed, and all the evidence that it vouches for is here.
for checkpoint in .codex/evidence/checkpoints/*.txt; do
    [ -e "$checkpoint" ] || continue
    sed '/^-----BEGIN SSH SIGNATURE-----$/,$d' "$checkpoint" >"$work/statement"
    sed -n '/^-----BEGIN SSH SIGNATURE-----$/,$p' "$checkpoint" >"$work/statement.sig"
    list=lists/${checkpoint##*/}
    [ "$(sed -n 's/^count: //p' "$work/statement")" = "$(wc -l <"$list" | tr -d ' ')" ] || fail "$list is not whole"
    [ "$(sed -n 's/^evidence: //p' "$work/statement")" = "$(sha256sum <"$list" | cut -c 1-64)" ] || fail "$list is another"
    [ -z "$(comm -23 "$list" "$work/here")" ] || fail "evidence is missing that $checkpoint vouches for"
    if [ -e "$signers" ]; then
        moment=$(sed -n 's/^time: \(....\)-\(..\)-\(..\)T\(..\):\(..\):\(..\).*/\1\2\3\4\5\6/p' "$work/statement")
        by=$(signer "$work/statement" "$work/statement.sig" "$moment") || fail "$checkpoint is not of an allowed signer"
        echo "checkpoint of $(sed -n 's/^time: //p' "$work/statement"): $(wc -l <"$list" | tr -d ' ') files, signed by $by"
    fi
done
echo "all of it holds"
