"""amiguard for Splunk SOAR."""
