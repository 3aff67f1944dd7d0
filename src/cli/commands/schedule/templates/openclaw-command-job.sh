openclaw cron add --name atelier-heartbeat --every 3m --command-argv '@argv@' --timeout-seconds 1500
# In heartbeat.toml, so that a beat ends before it is stopped:
#   [beat]
#   time_limit = "20m"
