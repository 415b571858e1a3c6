"""Calls one method of contrib/clients/slipway.py and prints what comes of it as lines of
JSON, as client_driver.mjs does for slipway.ts: driver CLIENT URL METHOD ARGUMENTS."""

import importlib.util
import json
import sys


def say(**what):
    print(json.dumps(what), flush=True)


def main(client, url, method, arguments):
    spec = importlib.util.spec_from_file_location("slipway", client)
    slipway = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(slipway)
    arguments = json.loads(arguments)
    options = arguments.pop() if arguments and isinstance(arguments[-1], dict) and \
        method not in ("submitJob", "validateJob", "builder") else {}
    try:
        if method == "builder":
            builder = slipway.JobBuilder()
            for name, *args in arguments:
                more = args.pop() if name == "step" and isinstance(args[-1], dict) else {}
                builder = getattr(builder, name)(*args, **more)
            say(result=builder.build())
            return
        c = slipway.SlipwayClient(url or None)
        if method == "waitForCompletion":
            options["onProgress"] = lambda s: say(progress=s["status"])
        result = getattr(c, method)(*arguments, **options)
        if method in ("streamLogs", "eachJob"):
            for e in result:
                if method == "eachJob":
                    say(job=e["id"])
                else:
                    say(event=e.event, data=e.data, text=e.text, id=e.id, partial=e.partial)
            result = None
        say(result=result)
    except slipway.SlipwayError as e:
        say(error={"message": str(e), "status": e.status, "code": e.code,
                   "field": e.field})


main(*sys.argv[1:])
