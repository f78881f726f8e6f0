import fc from 'fast-check';

// Between the processes of --parallel an error loses its cause, so what failed stands in the message.
fc.configureGlobal({ ...fc.readConfigureGlobal(), includeErrorInReport: true });
