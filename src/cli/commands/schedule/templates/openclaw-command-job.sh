# Runs the worker without a model. A quiet run posts nothing; a line that needs you is posted to CHANNEL and DESTINATION.
# Put your own in: without a route OpenClaw drops the line. In heartbeat.toml, set `[beat] time_limit = "20m"`, so that a run
# ends before --timeout-seconds. Run again, the command updates the job of the same --declaration-key.
openclaw cron add --name @unit@ --declaration-key @unit@ --every 1m --command-argv '@argv@' --command-env 'PATH=@path@'@command_env@ --timeout-seconds 1500 --announce --channel CHANNEL --to DESTINATION
