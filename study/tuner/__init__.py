"""All that meets Ray: trials go out as Ray Tune trials and come back as rows. The cluster commands are apart."""
