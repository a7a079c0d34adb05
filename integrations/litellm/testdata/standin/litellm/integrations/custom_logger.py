class CustomLogger:
    """The base class; its hook does nothing, as LiteLLM's own does."""

    def __init__(self, **kwargs):
        self.kwargs = kwargs

    async def async_log_audit_log_event(self, audit_log):
        pass
