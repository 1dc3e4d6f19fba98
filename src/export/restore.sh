set -eu
export=$1 output=$2
(cd "$export" && sha256sum -c --quiet SHA256SUMS)
while read -r tombstone sha256 mode escaped; do
  path=$(printf '%b.' "$escaped") path=$output/$tombstone/${path%.}
  mkdir -p "${path%/*}"
  zstd -d -q -c "$export/contents/${sha256%"${sha256#??}"}/$sha256.zst" > "$path"
  [ "$(sha256sum < "$path")" = "$sha256  -" ]
  case $mode in
    100755) chmod +x "$path" ;;
    120000) target=$(cat "$path" && echo .) && ln -sf -- "${target%?}" "$path" ;;
  esac
done < "$export/files.txt"
