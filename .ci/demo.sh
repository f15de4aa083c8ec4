#!/usr/bin/env bash
#
# demo.sh - the whole story on one machine: a service on an empty directory, an
# image sealed, proven online and offline, worked on as a copy only, and a
# tampered bundle caught; an outside witness looks on, and the lost ledger comes back
# from the store. IMAGE=file takes that file instead of a small file system that is
# made here; "demo.sh s3" puts the objects on a real S3 server.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
store=${1:-directory}
[[ $store == directory || $store == s3 ]] || {
	echo "usage: demo.sh [s3]" >&2
	exit 2
}
work=$(mktemp -d)
pids=()

cleanup() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	chattr -R -i "$work" 2>/dev/null || : # write-once objects resist even their maker
	rm -rf "$work"
}
trap cleanup EXIT

bold() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# say shows a command as one types it, then runs it.
say() {
	printf '\n$ %s\n' "${*//$work\//}"
	"$@"
}

# refused runs a command that must fail with an exit code.
refused() {
	local want=$1 code=0
	shift
	say "$@" || code=$?
	if [[ $code -ne $want ]]; then
		echo "demo: exit code $code, expected $want" >&2
		exit 1
	fi
	echo "(exit code $code, as it must be)"
}

# as runs custody-cli as one person, on that person's own machine.
as() {
	local who=$1
	shift
	CUSTODY_CONFIG="$work/$who" "$PWD/bin/custody-cli" "$@"
}

.ci/packages.sh e2fsprogs unzip zip openssl openssh-client python3 >/dev/null
bold "Build"
make --no-print-directory build

export PATH=$PWD/bin:$PATH:/usr/sbin:/sbin
mkdir "$work/keys"
for who in examiner1 analyst1; do
	ssh-keygen -q -t ed25519 -N '' -C "$who" -f "$work/keys/$who"
done

image=${IMAGE:-}
if [[ -z $image ]]; then
	image=$work/disk.dd
	mkdir -p "$work/files/home/user"
	echo "meet at the harbour, 02:00" >"$work/files/home/user/note.txt"
	head -c 20M /dev/urandom >"$work/files/home/user/archive.bin"
	mke2fs -q -t ext4 -d "$work/files" "$image" 48M
fi
sha256sum "$image" | cut -d' ' -f1 >"$work/declared"

flags=()
if [[ $store == s3 ]]; then
	bold "A real S3 server with object lock (MinIO)"
	minio=$(.ci/tools.sh minio)
	mkdir "$work/minio"
	port=$((20000 + RANDOM % 20000))
	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
	secret=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	MINIO_ROOT_USER=demo MINIO_ROOT_PASSWORD=$secret MINIO_BROWSER=off MINIO_UPDATE=off \
		"$minio" server --quiet --address "127.0.0.1:$port" "$work/minio" >"$work/minio.log" 2>&1 &
	pids+=($!)
	export CUSTODYD_S3_ACCESS_KEY=demo CUSTODYD_S3_SECRET_KEY=$secret
	flags=(--s3-endpoint "127.0.0.1:$port" --s3-plain-http --s3-bucket evidence --s3-create-bucket)
	for _ in $(seq 100); do
		if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
		sleep 0.1
	done
fi

# start runs a program that serves, NAME for its log, and gives its address in $url.
start() {
	local name=$1
	shift
	"$@" >"$work/$name.out" 2>"$work/$name.log" &
	pids+=($!)
	for _ in $(seq 300); do
		url=$(sed -n 's/^ *address *//p' "$work/$name.out")
		[[ -z $url ]] || return 0
		kill -0 "${pids[-1]}" 2>/dev/null || break
		sleep 0.1
	done
	cat "$work/$name.log" >&2
	exit 1
}

# stop ends what was started last.
stop() {
	kill "${pids[-1]}"
	wait "${pids[-1]}"
	unset 'pids[-1]'
}

bold "The service, on an empty directory"
new=(--origin demo.example/custody --retain-days 1 --ledger-retain-days 1 --payload-retain-days 1
	--admin-key "$work/keys/examiner1.pub" --admin-principal examiner1 --admin-name 'Erika Examiner')
start serve custodyd serve --data "$work/data" --listen 127.0.0.1:0 "${new[@]}" "${flags[@]}"
cat "$work/serve.out"
verifier=$(sed -n 's/^ *verifier *//p' "$work/serve.out")
stop

bold "A law firm witnesses its ledger from the first entry on"
start witness custodyd witness --state "$work/witness" --name witness.firm.example --listen 127.0.0.1:0 --log "$verifier"
cat "$work/witness.out"
witness=$(sed -n 's/^ *witness *//p' "$work/witness.out")
start serve custodyd serve --data "$work/data" --listen 127.0.0.1:0 --retain-days 1 --ledger-retain-days 1 --payload-retain-days 1 \
	--witness "$witness $url" "${flags[@]}"

bold "The examiner's machine"
say as examiner1 setup --server "$url" --principal examiner1 --key "$work/keys/examiner1" --verifier-key "$verifier"
say as examiner1 person enrol --principal analyst1 --name 'Anton Analyst' --role analyst --key "$work/keys/analyst1.pub"
say as examiner1 case open --reference 2026-0042 --title 'Theft of trade secrets' --jurisdiction DE --jurisdiction CH
say as examiner1 exhibit add --case 2026-0042 --label E-001 --kind disk --make Samsung --model '870 EVO' --serial S5Y1NX0R \
	--found-by 'Erika Examiner' --found-at 'Office 3.12' --found-on 2026-03-01 --witness 'Wilhelm Witness'

bold "The image goes in: hashed by the tool, by the service on arrival, and again from the medium"
say as examiner1 ingest --exhibit 2026-0042/E-001 --tool 'dc3dd 7.2.646' --witness 'Wilhelm Witness' --place 'Lab 2' \
	--write-blocker 'Tableau T8u' --sha256 "$(cat "$work/declared")" "$image"
say as examiner1 verify 2026-0042/E-001/M1

bold "The analyst gets a working copy, and never the master"
say as examiner1 copy issue 2026-0042/E-001 --to analyst1 --purpose 'search for sent documents'
say as analyst1 setup --server "$url" --principal analyst1 --key "$work/keys/analyst1" --verifier-key "$verifier"
say as analyst1 copy fetch 2026-0042/E-001/W1 -o "$work/working.dd"
cmp "$image" "$work/working.dd"
echo "the working copy is the image, byte for byte"
refused 6 as analyst1 copy fetch 2026-0042/E-001/M1 -o "$work/master.dd"
say as analyst1 copy return 2026-0042/E-001/W1 --file "$work/working.dd" --note 'no documents found'

bold "What happened, in words"
say as examiner1 history 2026-0042

bold "A bundle for court, checked without the service"
say as examiner1 export 2026-0042 -o "$work/case.zip"
say as examiner1 verify "$work/case.zip"
say as examiner1 verify "$image" --against "$work/case.zip"

bold "A policy that demands the witness"
printf 'origin demo.example/custody\nlog %s\nwitness firm %s\nquorum firm\n' "$verifier" "$witness" >"$work/court.policy"
cat "$work/court.policy"
say as examiner1 verify "$work/case.zip" --policy "$work/court.policy"

bold "A second verifier, of Python alone, out of the bundle"
unzip -q -p "$work/case.zip" 2026-0042/data/verify.py >"$work/verify.py"
say python3 -I "$work/verify.py" "$work/case.zip" "$verifier"

bold "The same, with stock tools only"
(cd "$work" && unzip -q case.zip -d unpacked)
bag=$work/unpacked/2026-0042
(
	cd "$bag"
	say sha256sum --check --quiet manifest-sha256.txt
	cd data
	say openssl pkeyutl -verify -pubin -inkey ledger.pem -rawin -in checkpoint.body -sigfile checkpoint.sig
	last=$(tail -n 1 entries.jsonl | sed 's/^.*,"seq":\([0-9]*\),"sig":.*$/\1/')
	printf '\n$ ssh-keygen -Y verify -f allowed_signers -I custodyd -n custody-event -s payloads/%s.json.sig < payloads/%s.json\n' "$last" "$last"
	ssh-keygen -Y verify -f allowed_signers -I custodyd -n custody-event -s "payloads/$last.json.sig" <"payloads/$last.json"
)

bold "Somebody changes one word in the bundle, and mends its lists of hashes"
victim=$(grep -l '"action":"exhibit.added"' "$bag"/data/payloads/*.json)
sed -i 's/Office 3.12/Office 3.13/' "$victim"
(
	cd "$bag"
	sed 's/^[0-9a-f]*  //' manifest-sha256.txt | tr '\n' '\0' | xargs -0 sha256sum >manifest.new
	mv manifest.new manifest-sha256.txt
	sed 's/^[0-9a-f]*  //' tagmanifest-sha256.txt | tr '\n' '\0' | xargs -0 sha256sum >tagmanifest.new
	mv tagmanifest.new tagmanifest-sha256.txt
	cd .. && zip -q -r ../tampered.zip 2026-0042
)
refused 1 as examiner1 verify "$work/tampered.zip"

bold "The service stops; its own audit"
stop
audit=()
[[ $store != s3 ]] || audit=("${flags[@]:0:5}")
say custodyd audit --data "$work/data" --contents "${audit[@]}"

bold "The database is lost: the ledger comes back from the store and three keys"
mkdir -m 700 "$work/rebuilt"
for key in ledger.key service_key service_key.pub; do cp "$work/data/$key" "$work/rebuilt"; done
if [[ $store == directory ]]; then
	chattr -i "$work/data/objects" 2>/dev/null || :
	mv "$work/data/objects" "$work/rebuilt"
fi
say custodyd rebuild --from-store --data "$work/rebuilt" "${audit[@]}"
say custodyd audit --data "$work/rebuilt" --contents "${audit[@]}"

bold "Demo passed"
