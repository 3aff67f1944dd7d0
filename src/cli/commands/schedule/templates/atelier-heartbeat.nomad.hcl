job "@unit@" {
  type = "batch"

  periodic {
    crons            = ["*/2 * * * *"]
    prohibit_overlap = true
  }

  group "beat" {
    reschedule {
      attempts = 0
    }
    restart {
      attempts = 0
    }

    task "beat" {
      driver       = "raw_exec"
      kill_timeout = "10s"
      config {
        command = "@binary@"
        args    = [@arguments@]
      }
@environment@    }
  }
}
