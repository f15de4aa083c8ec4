#!/usr/bin/env bash
#
# packages.sh - install the Debian packages that tests, demo and bench run, if
# any is missing, and print the versions of all of them.
#
# A machine that has every program needs neither Debian nor root. With names of
# packages as arguments only those are seen to.
set -euo pipefail

# package:program. The program tells whether the package is needed.
wanted=(
	make:make
	e2fsprogs:mke2fs          # a real file-system image for the demo
	unzip:unzip               # bundles, opened by hand
	zip:zip                   # and closed again by an attacker
	openssl:openssl           # the independent verifiers: digests,
	openssh-client:ssh-keygen # signatures,
	hashdeep:hashdeep         # several digests at once,
	sqlite3:sqlite3           # the database,
	python3:python3           # a second implementation of the formats
	dc3dd:dc3dd               # imaging tools
	ewf-tools:ewfacquire
	rclone:rclone # what a lab would use instead of us
	restic:restic
)

export PATH=$PATH:/usr/sbin:/sbin DEBIAN_FRONTEND=noninteractive

packages=() missing=()
for pair in "${wanted[@]}"; do
	if [[ $# -gt 0 && " $* " != *" ${pair%%:*} "* ]]; then
		continue
	fi
	packages+=("${pair%%:*}")
	command -v "${pair##*:}" >/dev/null || missing+=("${pair%%:*}")
done

if [[ ${#missing[@]} -gt 0 ]]; then
	sudo=()
	if [[ $(id -u) -ne 0 ]]; then
		sudo=(sudo -n)
	fi
	if ! command -v apt-get >/dev/null || ! "${sudo[@]}" true 2>/dev/null; then
		echo "packages.sh: missing: ${missing[*]}" >&2
		echo "packages.sh: installing them needs apt-get and root; as root, try: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	echo "packages.sh: installing ${missing[*]}" >&2
	apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
	"${apt[@]}" update >&2
	"${apt[@]}" install --yes --no-install-recommends "${missing[@]}" >&2
fi

if command -v dpkg-query >/dev/null; then
	# A program may have come another way: then Debian has no version to tell.
	dpkg-query --show --showformat='${Package} ${Version}\n' "${packages[@]}" 2>/dev/null || :
fi
