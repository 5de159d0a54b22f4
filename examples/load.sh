#!/bin/sh
# Loads a CSV file without a script: the table is created, and a second run updates its rows. Run as
#
#   PGPASSWORD=… examples/load.sh postgresql://user@localhost:5432/analytics
#
# with pgsink in PATH, or PGSINK=path/to/pgsink.
set -eu
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

cat >"$folder/articles.csv" <<'EOT'
id,sku,price,note
1,00501,1.10,"a ""quoted"" note"
2,00502,2.50,
EOT
"${PGSINK:-pgsink}" load "$folder/articles.csv" --to "$1" --table articles \
  --create-table --mode upsert --key id
