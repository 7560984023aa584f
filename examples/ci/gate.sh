#!/bin/sh
# gate.sh FOLDER POLICY: may the run on these features start?
#
# Leaves phasegate.xml (JUnit) and phasegate.env (PHASEGATE_DECISION=pass|fail|abstain|none) in the current folder, adds
# the verdict to the step's summary on GitHub, and ends as `phasegate gate` does: 0 pass, 1 fail, 2 abstain, 3 no decision.
# With PHASEGATE_URL (and PHASEGATE_API_KEY) a service computes; without, this machine does, with the same answer.
set -u

features=$1
policy=$2

gate() {
  phasegate gate "$features/x.npy" "$features/y.npy" --labels "$features/labels.npy" --rows "$features/rows.npy" \
    --policy "$policy" --timeout 1800 --output "$1"
}

gate junit > phasegate.xml
code=$?

case $code in
  0) decision=pass ;;
  1) decision=fail ;;
  2) decision=abstain ;;
  *) decision=none ;;
esac
echo "PHASEGATE_DECISION=$decision" > phasegate.env

if [ "$decision" = none ]; then
  rm -f phasegate.xml # an empty file is no test result
elif [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
  gate markdown >> "$GITHUB_STEP_SUMMARY" # a service answers this from the report that it has
fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then
  echo "decision=$decision" >> "$GITHUB_OUTPUT"
fi
exit $code
