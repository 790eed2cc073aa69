#!/bin/sh
# Executes operations of type charge, whose param is an amount, with the nats CLI:
#
#     hierarchy run --system charge=bank.charge
#     nats reply bank.charge --command 'sh examples/charge.sh'
#
# The request comes in NATS_REQUEST_BODY; what is printed is the reply. No account is
# charged here: say what happened to the outside, and the entity is changed as the
# reply says.
amount=$(printf %s "$NATS_REQUEST_BODY" | sed -n 's/.*"params":{[^}]*"amount":\([0-9]\{1,9\}\)[,}].*/\1/p')
if [ -z "$amount" ]; then
    echo '{"error":"want the param amount, a whole number","reason":"no_amount","permanent":true}'
elif [ "$amount" -gt 100 ]; then
    echo '{"error":"the account has no more than 100","reason":"not_covered"}'
else
    echo '{"add":{"charged":'"$amount"'},"version":true,"note":"charged by a shell"}'
fi
